"""Lets Snakemake tell a run of genebatch in a line a step: `snakemake --logger genebatch`."""

import os
import re
import shutil
import sys
import textwrap
from dataclasses import dataclass, field
from logging import ERROR, WARNING, LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from genebatch.io.terminal import printable
from genebatch.launch import again
from genebatch.progress.teller import Line, Teller

COLOURS = {"failed": "\033[31m", "warning": "\033[33m"}
INDENT = " " * 16  # below the text of a line
UNIT = re.compile(r"(\d) (MB|GB|s|min|h|rows|groups)\b")


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings that Snakemake takes as `--logger-genebatch-...`."""

    chatter: bool = field(
        default=False,
        metadata={"help": "Show what Snakemake itself says as well", "required": False},
    )


class LogHandler(LogHandlerBase):
    """Writes what a person wants to know of a run; the log file of the run keeps everything."""

    def __post_init__(self) -> None:
        """Look at where the lines go to."""
        from snakemake.logging import DefaultFilter, DefaultFormatter

        common = self.common_settings
        self.teller = Teller(common.dryrun, unlock=again("--unlock"))
        self.stream = sys.stdout if common.stdout else sys.stderr
        terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.width = shutil.get_terminal_size().columns if terminal else None
        self.coloured = terminal and not common.nocolor
        self.quiet = {str(getattr(each, "name", each)).lower() for each in common.quiet or ()}
        self.chatter = common.verbose or bool(self.settings and self.settings.chatter)
        self.own_filter = DefaultFilter(
            common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds
        )
        self.own_format = DefaultFormatter(common.quiet, common.show_failed_logs)

    def emit(self, record: LogRecord) -> None:
        """Write the lines of a record, if there are any."""
        try:
            if self.chatter and self.own_filter.filter(record):
                self._write(self.own_format.format(record))
            for line in self.teller.lines(record):
                if self._wanted(record):
                    self._write(self._shaped(line))
            self.stream.flush()
        except Exception:
            self.handleError(record)

    def _wanted(self, record: LogRecord) -> bool:
        """Errors always; warnings unless all is quiet; what goes well if nothing is."""
        if record.levelno >= ERROR:
            return True
        return "all" not in self.quiet if record.levelno >= WARNING else not self.quiet

    def _write(self, text: str | None) -> None:
        if text and text != "None":
            self.stream.write(f"{text}\n")

    def _shaped(self, line: Line) -> str:
        """A line as it is written: wrapped in a terminal, without control characters."""
        text = printable(line.head + line.text)
        below = INDENT if line.head else "    "
        text = text.replace("\n", f"\n{below}")
        if self.width is not None:
            text = "\n".join(self._wrapped(part, below) for part in text.splitlines())
        if self.coloured and line.level:
            text = f"{COLOURS[line.level]}{text}\033[0m"
        return text

    def _wrapped(self, text: str, below: str) -> str:
        """A line in lines as wide as the terminal; a number stays with its unit."""
        kept = UNIT.sub("\\1\N{NO-BREAK SPACE}\\2", text)
        width = max(self.width or 0, 40)
        wrapped = textwrap.fill(
            kept, width, subsequent_indent=below, break_long_words=False, break_on_hyphens=False
        )
        return wrapped.replace("\N{NO-BREAK SPACE}", " ")

    @property
    def writes_to_stream(self) -> bool:
        """Snakemake's own lines are not written then."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No: the log file is Snakemake's."""
        return False

    @property
    def has_filter(self) -> bool:
        """Every record is looked at."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Lines are made here."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """The graph of the rules is not needed."""
        return False
