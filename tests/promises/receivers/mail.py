"""A mail server with TLS and login: mail.py FOLDER PORT_STARTTLS PORT_TLS CERT KEY USER PASSWORD"""
import asyncio, json, os, ssl, sys

from aiosmtpd.smtp import SMTP, AuthResult

folder, plain, wrapped, cert, key, user, password = sys.argv[1:8]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
count = 0


class Handler:
    async def handle_DATA(self, server, session, envelope):
        global count
        count += 1
        with open(f"{folder}/mail-{count}.json.new", "w") as out:
            json.dump({
                "from": envelope.mail_from, "to": envelope.rcpt_tos, "login": session.authenticated,
                "tls": server.transport.get_extra_info("sslcontext") is not None, "message": envelope.content.decode(),
            }, out)
        os.rename(f"{folder}/mail-{count}.json.new", f"{folder}/mail-{count}.json")
        return "250 kept"


def authenticator(server, session, envelope, mechanism, data):
    good = data.login.decode() == user and data.password.decode() == password
    return AuthResult(success=good, handled=good)


async def main():
    loop = asyncio.get_running_loop()

    def starttls():
        return SMTP(Handler(), tls_context=context, require_starttls=True, auth_required=True,
                    authenticator=authenticator)

    def tls():
        return SMTP(Handler(), auth_required=True, authenticator=authenticator, auth_require_tls=False)

    await loop.create_server(starttls, "127.0.0.1", int(plain))
    await loop.create_server(tls, "127.0.0.1", int(wrapped), ssl=context)
    open(f"{folder}/mail-ready", "w").close()
    await asyncio.Event().wait()


asyncio.run(main())
