"""`python -m mobile_kit` is `mobile-kit`."""

import sys

from mobile_kit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
