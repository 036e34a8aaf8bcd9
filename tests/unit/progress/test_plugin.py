"""The plugin as Snakemake loads it, and what it writes where."""

import io
import logging

import pytest
from snakemake.exceptions import LockException
from snakemake.settings.types import OutputSettings, Quietness
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_logger_plugins.tests import TestLogHandlerBase

import snakemake_logger_plugin_genebatch as plugin
from genebatch.jobs.run import TOLD
from snakemake_logger_plugin_genebatch import LogHandler, LogHandlerSettings


class TestPlugin(TestLogHandlerBase):
    """What every plugin for logging has to do."""

    __test__ = True

    def get_log_handler_cls(self):
        return LogHandler

    def get_log_handler_settings(self):
        return LogHandlerSettings()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def written(monkeypatch):
    """What the handler writes of some records to a stream."""

    def write(stream, *records, settings=None, **output) -> str:
        monkeypatch.setattr(plugin.sys, "stderr", stream)
        handler = LogHandler(OutputSettings(**output), settings or LogHandlerSettings())
        for level, text in records:
            handler.emit(logging.LogRecord("snakemake", level, "", 0, text, (), None))
        return stream.getvalue()

    return write


def test_snakemake_finds_it():
    assert LoggerPluginRegistry().get_plugin("genebatch").log_handler is LogHandler


def test_a_lock_is_told_with_the_command_of_this_run(written, monkeypatch):
    monkeypatch.setenv(TOLD, "genebatch run --configfile my.yaml -- --forceall")
    record = logging.LogRecord("snakemake", logging.ERROR, "", 0, str(LockException()), (), None)
    record.event = "error"
    monkeypatch.setattr(plugin.sys, "stderr", io.StringIO())
    handler = LogHandler(OutputSettings(), LogHandlerSettings())
    handler.emit(record)
    said = handler.stream.getvalue()
    assert said.rstrip().endswith("genebatch run --configfile my.yaml -- --unlock")


WARNING = (logging.WARNING, f"a column {'of some name ' * 9}needs 1.9 GB\x1b[2J")


def test_a_file_gets_whole_lines_without_control_characters(written):
    said = written(io.StringIO(), WARNING)
    assert said.count("\n") == 1
    assert said.endswith("needs 1.9 GB\\x1b[2J\n")
    assert "\x1b" not in said


def test_a_terminal_gets_lines_of_its_width(written, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    said = written(Terminal(), WARNING, nocolor=True)
    lines = said.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(" " * 16) for line in lines[1:])
    assert "1.9 GB" in said
    assert said.isascii()
    assert "\x1b[33m" in written(Terminal(), WARNING)


@pytest.mark.parametrize(("quiet", "shown"), [(Quietness.PROGRESS, 2), (Quietness.ALL, 1)])
def test_errors_are_written_however_quiet_it_is(written, quiet, shown):
    records = [(logging.INFO, "Nothing to be done"), (logging.WARNING, "w"), (logging.ERROR, "e")]
    assert written(io.StringIO(), *records, quiet={quiet}).count("\n") == shown


def test_chatter_is_written_where_it_is_asked_for(written):
    chatter = (logging.INFO, "Building DAG of jobs...")
    assert written(io.StringIO(), chatter) == ""
    asked = LogHandlerSettings(chatter=True)
    assert "Building DAG" in written(io.StringIO(), chatter, settings=asked)
