"""The statistics: what is unusual, and how unusual. numpy and scipy only; no Beam, no I/O."""
