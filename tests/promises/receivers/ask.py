"""Asks a page behind TLS with a token, and prints the status: URL, certificate, token or nothing."""

import ssl
import sys
import urllib.error
import urllib.request

url, certificate, token = sys.argv[1:]
request = urllib.request.Request(url)
if token:
    request.add_header("Authorization", f"Bearer {token}")
try:
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=certificate), timeout=20) as answer:
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print(error)
