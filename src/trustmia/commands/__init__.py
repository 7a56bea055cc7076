"""The commands of `trustmia`, one module each: its parser, and what it calls."""

# Name → what it does, in a line; a command's module has its name, with _ for -.
COMMANDS = {
    "audit": "run attacks on what any classifiers say",
    "fetch": "get data sets and weights from their publishers and verify them",
    "configure": "set an experiment of the paper in params.yaml",
    "results": "print the result table of the last run",
    "export-models": "keep the last run's models as pretrained checkpoints in models/",
    "import-checkpoints": "turn the paper's published checkpoints into this project's",
    "compare-paper": "set the last run beside the paper's published table",
    "study": "run variants of the experiment with several seeds",
    "compare": "set experiments side by side",
    "report": "say where the report is, or open it",
}
