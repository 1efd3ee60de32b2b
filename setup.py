"""What pyproject.toml can't say: a wheel has configs/ as cifar_jax/configs, for --config NAME."""

import pathlib

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfigs(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # a checkout has them beside the package
            return
        for file in pathlib.Path("configs").rglob("*.py"):
            target = pathlib.Path(self.build_lib, "cifar_jax", file)
            self.mkpath(str(target.parent))
            self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": WithConfigs})
