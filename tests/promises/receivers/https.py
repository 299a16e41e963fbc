"""The web server of a product: https.py FOLDER CERT KEY [HOST:]PORT..., on 127.0.0.1 without HOST."""
import ssl, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder, cert, key, *ports = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    # A handshake that is broken off is no news.
    def handle_error(self, *args):
        pass

    def finish_request(self, request, address):
        super().finish_request(context.wrap_socket(request, server_side=True), address)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
places = [place.rpartition(":") for place in ports]
servers = [Server((host or "127.0.0.1", int(port)), Handler) for host, _, port in places]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
open(f"{folder}/https-ready", "w").close()
servers[0].serve_forever()
