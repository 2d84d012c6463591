//go:build !unix

package audit

import (
	"fmt"
	"os"
)

// lockDir opens the lock's file; nothing here keeps a second writer away.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return f, nil
}
