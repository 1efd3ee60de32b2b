"""A folder of this machine for libraries that take their paths from etils, whatever the folder is called."""

import glob

from etils import epath


class LocalPath(type(epath.Path("/"))):
    """etils' path, but its own name is never taken for a pattern, nor for that of a bucket.

    etils joins a pattern to the folder's name and looks for both, so that a folder `x [1]` seems empty, and takes
    `/gs/x` for gs://x. Orbax then merges nothing of what it wrote, and says so in a warning only.
    """

    def glob(self, pattern):
        for name in glob.glob(pattern, root_dir=self):
            yield self / name

    @property
    def _uri_scheme(self):
        return None
