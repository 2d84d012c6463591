package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxBody is the longest body that is read, in bytes. The benchmark's are about 1 KB.
const maxBody = 16 << 20

var (
	errStatusLine = errors.New("malformed status line")
	errLength     = errors.New("answer has neither Content-Length nor chunked coding")
	errChunk      = errors.New("malformed chunk")
	errTooLong    = errors.New("body longer than 16 MiB")
)

// answer is one HTTP response. last is set when the server says that it closes the connection.
type answer struct {
	status int
	body   []byte
	last   bool
}

// readAnswer reads one response (RFC 9112), its body appended to buf. It takes the framings that a server may answer
// a GET or POST on a kept connection with: Content-Length, chunked, and none for 204 and 304.
func readAnswer(r *bufio.Reader, buf []byte) (answer, error) {
	a := answer{body: buf}
	line, err := readLine(r)
	if err != nil {
		return a, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return a, fmt.Errorf("%w: %q", errStatusLine, line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("%w: %q", errStatusLine, line)
	}
	length, chunked := -1, false
	for {
		if line, err = readLine(r); err != nil {
			return a, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return a, fmt.Errorf("%w: %q", errLength, line)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")):
			a.last = bytes.EqualFold(value, []byte("close"))
		}
	}
	switch {
	case chunked:
		err = a.readChunks(r)
	case length >= 0:
		err = a.readBody(r, length)
	case a.status != 204 && a.status != 304:
		err = errLength
	}
	return a, err
}

// readChunks reads a chunked body and its trailer section.
func (a *answer) readChunks(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil {
			return fmt.Errorf("%w: %q", errChunk, line)
		}
		if size == 0 {
			for {
				if line, err = readLine(r); err != nil || len(line) == 0 {
					return err
				}
			}
		}
		if err := a.readBody(r, int(size)); err != nil {
			return err
		}
		if line, err = readLine(r); err != nil {
			return err
		}
		if len(line) != 0 {
			return fmt.Errorf("%w: %q after its end", errChunk, line)
		}
	}
}

// readBody appends n bytes to the body.
func (a *answer) readBody(r *bufio.Reader, n int) error {
	have := len(a.body)
	if have+n > maxBody {
		return errTooLong
	}
	for cap(a.body) < have+n {
		a.body = append(a.body[:cap(a.body)], 0)
	}
	a.body = a.body[:have+n]
	_, err := io.ReadFull(r, a.body[have:])
	return err
}

// readLine returns the next line without its end. It is valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
