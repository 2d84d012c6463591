//go:build !unix || netbsd || openbsd || solaris || illumos || aix

package badgerstore

import "errors"

func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
