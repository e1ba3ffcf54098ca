"""The page that an app shows to a browser: what it sees, who is here, who was, and the numbers of a monitor.

A page is given what there is to show through `board.Board` and asks the app through `board.Desk`; it never holds up
either. `server.serve` puts it on an address and needs `pip install 'edge-reid[web]'`.

- `/` is the page; it asks for a token once and then holds a cookie.
- `/healthz` says `ok` (200) or `degraded` (503) to anyone.
- `/metrics` is for Prometheus and wants the token: `Authorization: Bearer TOKEN`, also on this machine.
"""
