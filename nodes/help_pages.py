"""Where the front end finds the help pages.

They lie in the pack's web directory as `docs/<node id>.md` and `docs/<node id>/<language>.md`;
ComfyUI serves that directory under the pack's folder name.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

WEB_DIRECTORY = "web"


def serve_as_asked(pack: Path) -> None:
    """Serve `pack`'s pages under the name that the front end asks for, where that is another one.

    It cuts the folder's name at its first "." or "@" (ComfyUI_frontend, `nodeHelpUtil.ts`), so the
    pages of a folder "controlstack-0.1.0" would not be found. A name that is taken stays as it is.
    """
    served = getattr(sys.modules.get("nodes"), "EXTENSION_WEB_DIRS", None)
    asked = re.split("[.@]", pack.name)[0]
    if isinstance(served, dict) and asked not in ("", pack.name):
        served.setdefault(asked, str(pack / WEB_DIRECTORY))
