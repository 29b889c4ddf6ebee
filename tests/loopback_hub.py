"""A hub on this machine: what huggingface_hub asks of one to make a repository, commit to it and read from it."""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class LoopbackHub:
    """`with LoopbackHub(token) as hub`: `hub.endpoint`, and `hub.repos` (id → path → bytes) to fill and to read.

    Every request needs the token. `hub.commits` are (repository, message, paths) in order.
    """

    def __init__(self, token):
        self.token = token
        self.repos = {}
        self.commits = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo, folder):
        self.repos[repo] = {path.name: path.read_bytes() for path in folder.iterdir()}

    def sha(self, repo):
        """A commit's id: it changes with the content."""
        return hashlib.sha1(repr(sorted(self.repos[repo].items())).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """No lines on stderr."""

    def do_HEAD(self):
        self._handle()

    def do_GET(self):
        self._handle()

    def do_POST(self):
        self._handle()

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._answer(401, {"error": "no token"}, {"X-Error-Code": "RepoNotFound"})
        for pattern, method in _ROUTES:
            if found := re.fullmatch(pattern, self.path.partition("?")[0]):
                return method(self, body, *found.groups())
        return self._answer(404, {"error": self.path}, {"X-Error-Code": "EntryNotFound"})

    def _answer(self, status, content, headers=()):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _create(self, body):
        wanted = json.loads(body)
        repo = f"{wanted['organization']}/{wanted['name']}"
        self.hub.repos.setdefault(repo, {})
        self._answer(200, {"url": f"{self.hub.endpoint}/{repo}"})

    def _validate(self, body):
        self._answer(200, {"errors": [], "warnings": []})

    def _preupload(self, body, repo):
        files = [
            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
            for file in json.loads(body)["files"]
        ]
        self._answer(200, {"files": files})

    def _commit(self, body, repo):
        lines = [json.loads(line) for line in body.splitlines()]
        values = {key: [line["value"] for line in lines if line["key"] == key] for key in ("header", "file")}
        for file in values["file"]:
            self.hub.repos[repo][file["path"]] = base64.b64decode(file["content"])
        paths = sorted(file["path"] for file in values["file"])
        self.hub.commits.append((repo, values["header"][0]["summary"], paths))
        sha = self.hub.sha(repo)
        self._answer(200, {"commitUrl": f"{self.hub.endpoint}/{repo}/commit/{sha}", "commitOid": sha})

    def _info(self, body, repo):
        if repo not in self.hub.repos:
            return self._answer(404, {"error": repo}, {"X-Error-Code": "RepoNotFound"})
        siblings = [{"rfilename": path} for path in self.hub.repos[repo]]
        return self._answer(200, {"id": repo, "sha": self.hub.sha(repo), "siblings": siblings, "tags": []})

    def _resolve(self, body, repo, path):
        content = self.hub.repos.get(repo, {}).get(path)
        if content is None:
            code = "EntryNotFound" if repo in self.hub.repos else "RepoNotFound"
            return self._answer(404, {"error": path}, {"X-Error-Code": code})
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": self.hub.sha(repo)}
        return self._answer(200, content, headers)


_REPO = r"([\w.-]+/[\w.-]+)"
_ROUTES = [
    (r"/api/repos/create", _Handler._create),
    (r"/api/validate-yaml", _Handler._validate),
    (rf"/api/models/{_REPO}/preupload/\w+", _Handler._preupload),
    (rf"/api/models/{_REPO}/commit/\w+", _Handler._commit),
    (rf"/api/models/{_REPO}(?:/revision/\w+)?", _Handler._info),
    (rf"/{_REPO}/resolve/\w+/(.+)", _Handler._resolve),
]
