"""How well the detector detects: simulated worlds with known truth, labelled brand series, peers, and a report."""
