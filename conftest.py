"""The fixtures that all tests share."""

pytest_plugins = ["passferry_testing.pytest_plugin"]
