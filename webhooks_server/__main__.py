"""`python -m webhooks_server` and the command `webhooks-server`."""

from webhooks_server.cli.main import main

if __name__ == "__main__":
    main()
