//go:build !unix

package badgerstore

import "os"

// probeLock leaves it to Badger's own lock to refuse.
func probeLock(dir string) (bool, error) {
	_, err := os.Stat(dir)
	return false, err
}
