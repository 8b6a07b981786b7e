#!/bin/sh
# Install escnn next to numpy 2: scripts/install-escnn.sh PYTHON (the executable of the environment).
#
# escnn needs lie_learn and py3nj. The wheels of lie_learn are compiled for numpy 1 and ask for numpy<2, but they hold
# their Cython sources: a wheel is built from these. py3nj, which makes escnn's Clebsch-Gordan coefficients of SO(3)
# fast, is Fortran; without a compiler escnn does without it, and warns. Where scikit-learn is installed, escnn 1.0.11
# hands it a matrix, which it refuses (groups with reflections fail): that one word is mended in the installed file.
set -eu

python=${1:?"usage: $0 PYTHON, the executable of the environment to install into"}
"$python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)' || {
  echo "$0: $python is not the python of a virtual environment" >&2
  exit 2
}
works() {
  "$python" -W ignore -c '
from escnn import gspaces, nn
for space in gspaces.rot2dOnR2(8), gspaces.flipRot2dOnR2(6), gspaces.rot3dOnR3():
    scalar = nn.FieldType(space, [space.trivial_repr])
    (nn.R3Conv if space.dimensionality == 3 else nn.R2Conv)(scalar, scalar, 3)
irreps = nn.FieldType(space := gspaces.flipRot2dOnR2(6), [space.irrep(1, 1), space.irrep(1, 2)])
nn.R2Conv(irreps, irreps, 3)'
}

if works 2> /dev/null; then
  echo "escnn is there already"
  exit 0
fi

retry() {
  for pause in 5 20 60; do
    "$@" && return
    echo "$0: once more in $pause s: $*" >&2
    sleep "$pause"
  done
  "$@"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Any one of the wheels will do: only its sources and tables are used.
retry "$python" -m pip download --quiet --dest "$work" --no-deps --only-binary :all: --implementation cp \
  --python-version 3.11 --platform manylinux2014_x86_64 lie_learn==0.0.2
"$python" - "$work" <<'END'
import sys, zipfile
from pathlib import Path

work = Path(sys.argv[1])
with zipfile.ZipFile(next(work.glob("lie_learn-*.whl"))) as wheel:
    for name in wheel.namelist():
        if name.startswith("lie_learn/") and not name.endswith((".so", ".c", ".pyd")):
            wheel.extract(name, work / "source")
END
cat > "$work/source/pyproject.toml" <<'END'
[build-system]
requires = ["setuptools>=70", "Cython>=3", "numpy>=2"]
build-backend = "setuptools.build_meta"
END
# Of the compiled modules, these are what Wigner's D matrices need.
cat > "$work/source/setup.py" <<'END'
import numpy
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

names = ["lie_learn.representations.SO3.irrep_bases"]
extensions = [Extension(n, [n.replace(".", "/") + ".pyx"], include_dirs=[numpy.get_include()]) for n in names]
setup(
    name="lie_learn",
    version="0.0.2+numpy2",
    packages=find_packages(),
    package_data={"": ["*.npy"]},
    ext_modules=cythonize(extensions, language_level=3),
    install_requires=["numpy>=2", "requests", "scipy"],
)
END
retry "$python" -m pip install --quiet "$work/source"

if ! command -v gfortran > /dev/null && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  (retry apt-get update -qq && retry apt-get install -qq -y --no-install-recommends gfortran) > /dev/null || true
fi
if command -v gfortran > /dev/null; then
  retry "$python" -m pip install --quiet escnn==1.0.11
else
  echo "$0: no gfortran, so no py3nj: escnn's SO(3) will be slow" >&2
  retry "$python" -m pip install --quiet autograd joblib pymanopt
  retry "$python" -m pip install --quiet --no-deps escnn==1.0.11
fi
"$python" - <<'END'
import py_compile
from importlib.util import find_spec
from pathlib import Path

file = Path(find_spec("escnn").origin).parent / "group" / "_numerical.py"
file.write_text(file.read_text().replace("null(constraint.todense(),", "null(constraint.toarray(),"))
# Python takes bytecode for current by the second and the size of its source, which both may be as they were.
py_compile.compile(str(file), doraise=True)
END
works
echo "escnn is installed"
