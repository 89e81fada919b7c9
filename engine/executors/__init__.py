"""Two ways to run jobs behind one protocol: `local` in this process, `ray` on this machine or a cluster."""
