"""What the paper ran, published and found (Hintersdorf, Struppek, Kersting, IJCAI 2022)."""
