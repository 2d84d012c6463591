package secrets

// WriteFile replaces a file that holds something sealed: with mode 0600, whole or not at all, and durable when it
// returns. The folder must exist.
func WriteFile(path string, data []byte) error { return writeAtomic(path, data) }
