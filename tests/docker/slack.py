"""A server that takes the place of Slack: POST stores a message, GET returns all. It runs in a container of its own."""

from http.server import BaseHTTPRequestHandler, HTTPServer

posts: list[bytes] = []


class Slack(BaseHTTPRequestHandler):
    """Answers as an incoming webhook does."""

    def do_POST(self) -> None:
        posts.append(self.rfile.read(int(self.headers["content-length"])))
        self.answer(b"ok")

    def do_GET(self) -> None:
        self.answer(b"[" + b",".join(posts) + b"]")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("", 8080), Slack).serve_forever()
