"""The files of the repository, as the lint programs see it: what git tracks or would track.

Where there is no git or no work tree (an unpacked archive) every file is taken, but for build
folders, runs and caches.
"""
import os
import re
import subprocess

CODE = (".c", ".h", ".cc", ".hh", ".cu")
LEFT_OUT = re.compile(r"(^|/)(\.git|build[^/]*|runs|__pycache__)(/|$)")


def _git_files(root):
    command = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    if done.returncode != 0 or not os.path.exists(os.path.join(root, ".git")):
        return None
    return [name.decode() for name in done.stdout.split(b"\0") if name]


def _walked_files(root):
    names = []
    for folder, folders, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        folders[:] = [name for name in folders if not LEFT_OUT.search(name)]
        names += [os.path.normpath(os.path.join(inside, name)) for name in files]
    return names


def files(root, endings=None):
    """Sorted paths from root of the regular files with one of the endings (None: all)."""
    names = _git_files(root)
    if names is None:
        names = _walked_files(root)
    return sorted(name for name in set(names)
                  if (endings is None or name.endswith(tuple(endings)))
                  and os.path.isfile(os.path.join(root, name))
                  and not os.path.islink(os.path.join(root, name)))
