"""What people use through a browser. `static/` is served as it is; its verifier is a second implementation."""
