// node:tty (https://nodejs.org/api/tty.html): an agent has no terminal.

exports.isatty = () => false;
native.fillAbsent("tty", exports);
