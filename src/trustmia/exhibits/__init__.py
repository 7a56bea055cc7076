"""What figures need beside results: densities, the plane of features, the gallery."""
