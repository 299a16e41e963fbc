"""An HTTPS server that keeps what is posted: web.py FOLDER PORT CERT KEY SECRET"""
import hashlib, hmac, json, os, ssl, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

folder, port, cert, key, secret = sys.argv[1:6]
count = 0


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        global count
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = self.headers.get("X-Pmp-Ha-Timestamp", "").encode() + b"." + body
        wanted = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        count += 1
        self.keep({"path": self.path, "headers": dict(self.headers), "event": json.loads(body),
                   "signed": self.headers.get("X-Pmp-Ha-Signature") == wanted})

    def do_GET(self):
        global count
        count += 1
        self.keep({"path": self.path, "headers": dict(self.headers)})

    def keep(self, what):
        with open(f"{folder}/web-{count}.json.new", "w") as out:
            json.dump(what, out)
        os.rename(f"{folder}/web-{count}.json.new", f"{folder}/web-{count}.json")
        self.send_response(500 if self.path == "/broken" else 302 if self.path == "/moved" else 204)
        if self.path == "/moved":
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
open(f"{folder}/web-ready", "w").close()
server.serve_forever()
