"""A laboratory for many: campaigns handed in over HTTP, people with roles, and live events.

FastAPI and uvicorn are loaded when a server is made: ``pip install 'sdl[serve]'``.
"""
