"""The HTTP server: uvicorn's processes and sockets, its protocol with the lane beside it, the application it serves."""
