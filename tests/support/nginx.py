"""nginx for tests: where it is installed, and a whole configuration in a folder of its own."""

from pathlib import Path

PATH = "/usr/sbin:/usr/bin:/bin"
"""Debian installs nginx outside of an ordinary user's `PATH`."""
_WHOLE = """
user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {http}
}}
"""


def nginx_configuration(folder: Path, http: str) -> str:
    """Return a configuration with the content of its `http` block; all that nginx writes is in the folder."""
    return _WHOLE.format(folder=folder, http=http)
