"""sacreBLEU 2.6.0 beside mixt bleu: runs both on the same files and compares what they print.

sacreBLEU's own command line runs in a forked copy of this process, so that each comparison costs
milliseconds.
"""
import io
import os
import pty
import subprocess
import sys

WANTED = "2.6.0"
# sacreBLEU's own failures with chrF: a mean of mixed types, and JSON of a NumPy float.
FAULTS = [b"don't know how to coerce", b"float32 is not JSON serializable"]
MODELS = ["sacrebleu_tokenizer_spm.model", "flores200sacrebleuspm", "spbleu-1k_tokenizer_spm.model"]


def restart_with_other_python():
    """With the Python that the environment names, once."""
    other = os.environ.pop("MIXT_SACREBLEU_PYTHON", "")
    if other:
        os.execv(other, [other] + sys.argv)


def has_sacrebleu(folder):
    """Imports it, with `folder` as the place of its test sets and models."""
    os.environ["SACREBLEU"] = folder
    try:
        import sacrebleu
        import sacrebleu.sacrebleu  # its main(), before the forks
        import sacrebleu.significance
        import sentencepiece
        from sacrebleu.tokenizers import (tokenizer_13a, tokenizer_char, tokenizer_intl,
                                          tokenizer_none, tokenizer_spm, tokenizer_zh)
    except ImportError as error:
        print(f"skipped: sacreBLEU cannot be imported: {error}")
        return False
    if sacrebleu.__version__ != WANTED:
        print(f"skipped: sacreBLEU {WANTED} wanted, {sacrebleu.__version__} found")
        return False
    return True


def train_models(folder, lines):
    """Tiny SentencePiece models where both programs look for those of the spm tokenizers.

    No unigram ones: of two segmentations with the same sum of scores, as "so…" "." and "so" "….",
    releases of SentencePiece choose differently."""
    import sentencepiece
    os.makedirs(os.path.join(folder, "models"))
    for name, kind, size in zip(MODELS, ("bpe", "bpe", "char"), (160, 240, 150)):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, model_type=kind, vocab_size=size,
            character_coverage=0.98, hard_vocab_limit=False, minloglevel=2)
        with open(os.path.join(folder, "models", name), "wb") as stream:
            stream.write(model.getvalue())


def read_terminal(descriptor):
    chunks = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(descriptor)
    return b"".join(chunks).replace(b"\r\n", b"\n")


def run_sacrebleu_here(arguments):
    """main() with its exit code, in a process that may be thrown away."""
    try:
        from sacrebleu.sacrebleu import main
        sys.argv = ["sacrebleu"] + arguments
        main()
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else (0 if stop.code is None else 1)
    except BaseException as error:  # what Python itself would print before exiting with 1
        os.write(2, repr(error).encode("utf-8", "replace"))
        return 1


class Comparison:
    """Runs both programs in a folder and counts what differs."""

    def __init__(self, mixt, folder, seed):
        self.mixt, self.folder, self.seed = mixt, folder, seed
        self.scratch = os.path.join(folder, "out")
        os.mkdir(self.scratch)
        self.n_done, self.n_different, self.n_failed, self.n_faults = 0, 0, 0, 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_sacrebleu(self, arguments, stdin_path, environment, on_terminal=False):
        """(exit code, stdout, stderr); stdout is a terminal or a file."""
        out, err = os.path.join(self.scratch, "out"), os.path.join(self.scratch, "err")
        master, slave = pty.openpty() if on_terminal else (-1, -1)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.environ.update(environment)
                os.chdir(self.folder)
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                os.dup2(os.open(stdin_path, os.O_RDONLY), 0)
                os.dup2(slave if on_terminal else os.open(out, flags, 0o600), 1)
                os.dup2(os.open(err, flags, 0o600), 2)
                code = run_sacrebleu_here(arguments)
            finally:
                try:
                    sys.stdout.flush()
                finally:
                    os._exit(code)
        if on_terminal:
            os.close(slave)
            stdout = read_terminal(master)
        _, status = os.waitpid(child, 0)
        if not on_terminal:
            with open(out, "rb") as stream:
                stdout = stream.read()
        with open(err, "rb") as stream:
            stderr = stream.read()
        return os.waitstatus_to_exitcode(status), stdout, stderr

    def run_mixt(self, arguments, stdin_path, environment, on_terminal=False):
        master, slave = pty.openpty() if on_terminal else (-1, subprocess.PIPE)
        with open(stdin_path, "rb") as stream:
            process = subprocess.Popen([self.mixt, "bleu"] + arguments, stdin=stream,
                                       stdout=slave, stderr=subprocess.PIPE, cwd=self.folder,
                                       env={**os.environ, **environment})
        if not on_terminal:
            stdout, stderr = process.communicate()
        else:
            os.close(slave)
            stdout = read_terminal(master)
            stderr = process.communicate()[1]
        return process.returncode, stdout, stderr

    def compare(self, arguments, stdin_path=os.devnull, with_stderr=False, more=(), wanted=None,
                environment=None, on_terminal=False):
        """True if stdout and exit code are equal. more: options for mixt alone; wanted: the exit
        code that both must have."""
        environment = environment or {}
        peer = self.run_sacrebleu(arguments, stdin_path, environment, on_terminal)
        mine = self.run_mixt(list(more) + arguments, stdin_path, environment, on_terminal)
        if on_terminal:  # sacreBLEU resets the terminal once more at its end
            peer = (peer[0], peer[1].removesuffix(b"\x1b[0m"), peer[2])
        self.n_done += 1
        self.n_failed += peer[0] != 0 and mine[0] != 0
        if peer[0] == 1 and any(fault in peer[2] for fault in FAULTS):
            self.n_faults += 1
            peer = (0, mine[1], mine[2])
        size = 3 if with_stderr else 2
        if peer[:size] == mine[:size] and wanted in (None, mine[0]):
            return True
        self.n_different += 1
        if self.n_different <= 5:
            self.show(arguments, more, environment, peer, mine)
        return False

    def show(self, arguments, more, environment, peer, mine):
        print(f"different: seed {self.seed}, comparison {self.n_done}: {environment} "
              f"{' '.join(list(more) + arguments)}")
        print(f"  sacrebleu {peer}\n  mixt      {mine}")
        for name in sorted(os.listdir(self.folder)):
            if os.path.isfile(self.path(name)) and os.path.getsize(self.path(name)) < 3000:
                with open(self.path(name), encoding="utf-8", newline="\n",
                          errors="backslashreplace") as stream:
                    print(f"  {name}: {stream.read()!a}")
