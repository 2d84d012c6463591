//go:build !failpoints

package badgerstore

// failpoint does nothing in a build for use. With the build tag failpoints a test can end the process there.
func failpoint(string) {}
