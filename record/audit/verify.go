package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxLine is the longest line that is read. Records have limits far below.
const maxLine = 64 << 20

// Fault is the first thing that is wrong with a log.
type Fault struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`   // from 1
	Offset int64  `json:"offset,omitempty"` // of the line, in bytes
	// Seq is the entry that should be there.
	Seq  int64  `json:"seq"`
	What string `json:"what"`
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return fmt.Sprintf("entry %d: %s", f.Seq, f.What)
	}
	return fmt.Sprintf("line %d (byte %d), entry %d: %s", f.Line, f.Offset, f.Seq, f.What)
}

// Result is what Verify found.
type Result struct {
	Entries int64  `json:"entries"`
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`
	Head    Head   `json:"head"`
	Key     string `json:"key"` // the public key, in hex
	// Unsigned is how many entries are after the signed head: at most a batch, while a server writes or after a crash.
	Unsigned int64  `json:"unsigned"`
	Fault    *Fault `json:"fault,omitempty"`
}

// VerifyOptions say what a log is checked against besides itself.
type VerifyOptions struct {
	// Key is the public key that the heads must be signed with; nil: the one beside the log, which shows no change by somebody
	// who could write both.
	Key ed25519.PublicKey
	// Head is a head that was kept elsewhere: the log must have it.
	Head *Head
	// Progress is told from time to time how many bytes of how many have been read; nil: nobody is.
	Progress func(read, all int64)
}

// Verify reads the whole log and finds the first entry that was changed, taken out, put in, moved or cut off. What is wrong with the
// log is in the result; an error is for a log that cannot be read.
func Verify(ctx context.Context, dir string, o VerifyOptions) (r Result, err error) {
	if o.Key == nil {
		if o.Key, err = PublicKey(dir); err != nil {
			return r, err
		}
	}
	r.Key = hex.EncodeToString(o.Key)
	// The head is read first: a server that writes meanwhile only adds.
	head, signed, err := readHead(dir, o.Key)
	if err != nil {
		r.Fault = &Fault{File: filepath.Join(dir, headFile), What: strings.TrimPrefix(err.Error(), "audit: ")}
		return r, nil
	}
	files, err := Files(dir)
	if err != nil {
		return r, err
	}
	all := int64(0)
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			all += info.Size()
		}
	}
	c := &checker{prev: zeros, wanted: map[int64]string{}}
	if signed {
		c.wanted[head.Seq] = head.Hash
	}
	if o.Head != nil {
		c.wanted[o.Head.Seq] = o.Head.Hash
	}
	report := func(n int64) {
		if o.Progress != nil {
			o.Progress(r.Bytes+n, all)
		}
	}
	for i, path := range files {
		r.Files++
		first, err := firstOf(path)
		if err != nil {
			return r, err
		}
		if first != c.seq+1 {
			r.Fault = &Fault{File: path, Seq: c.seq + 1, What: fmt.Sprintf("the file begins with entry %d: what is between is missing", first)}
			break
		}
		f, err := os.Open(path)
		if err != nil {
			return r, fmt.Errorf("audit: %w", err)
		}
		fault, torn, err := c.file(ctx, f, report)
		_ = f.Close()
		if err != nil {
			return r, fmt.Errorf("audit: %s: %w", path, err)
		}
		r.Bytes += c.offset
		if fault == nil && torn > 0 && i < len(files)-1 {
			fault = &Fault{Line: c.line, Offset: c.offset - torn, Seq: c.seq + 1, What: "the line has no end"}
		}
		if fault != nil {
			fault.File = path
			r.Fault = fault
			break
		}
	}
	r.Entries, r.Head = c.seq, Head{c.seq, c.prev}
	if r.Fault != nil {
		return r, nil
	}
	last := filepath.Join(dir, headFile)
	if len(files) > 0 {
		last = files[len(files)-1]
	}
	switch {
	case signed && c.seq < head.Seq:
		r.Fault = &Fault{File: last, Seq: c.seq + 1, What: fmt.Sprintf("the log ends here, and the signed head is entry %d: %d entries were cut off", head.Seq, head.Seq-c.seq)}
	case o.Head != nil && c.seq < o.Head.Seq:
		r.Fault = &Fault{File: last, Seq: c.seq + 1, What: fmt.Sprintf("the log ends here, and the head that you gave is entry %d: %d entries were cut off", o.Head.Seq, o.Head.Seq-c.seq)}
	case !signed && c.seq > 0:
		r.Fault = &Fault{File: filepath.Join(dir, headFile), Seq: c.seq, What: "there is no signed head; without it the end of the log may have been cut off"}
	case signed:
		r.Unsigned = c.seq - head.Seq
	}
	return r, nil
}

// PublicKey reads the public key beside a log.
func PublicKey(dir string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("audit: there is no log in %s, or its key is gone: %w", dir, err)
	}
	return ParseKey(string(text))
}

// ParseKey reads a public key in hex.
func ParseKey(text string) (ed25519.PublicKey, error) {
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("audit: the public key is not 64 hex digits")
	}
	return key, nil
}

// checker follows the chain.
type checker struct {
	seq    int64
	prev   string
	wanted map[int64]string // hashes that entries must have

	line   int
	offset int64
}

// file checks one file's lines. torn is how many bytes stand after the last line's end.
func (c *checker) file(ctx context.Context, r io.Reader, progress func(int64)) (fault *Fault, torn int64, err error) {
	c.line, c.offset = 0, 0
	in := bufio.NewReaderSize(r, 1<<20)
	var long []byte
	for n := 0; ; n++ {
		if n%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, 0, err
			}
			if progress != nil {
				progress(c.offset)
			}
		}
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			long = append(long[:0], line...)
			for err == bufio.ErrBufferFull && len(long) < maxLine {
				line, err = in.ReadSlice('\n')
				long = append(long, line...)
			}
			line = long
		}
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return nil, 0, err
		}
		if len(line) == 0 {
			return nil, 0, nil
		}
		c.line++
		if err == io.EOF {
			c.offset += int64(len(line))
			return nil, int64(len(line)), nil
		}
		if what := c.check(bytes.TrimSuffix(line, []byte("\n"))); what != "" {
			return &Fault{Line: c.line, Offset: c.offset, Seq: c.seq + 1, What: what}, 0, nil
		}
		c.offset += int64(len(line))
	}
}

// check says what is wrong with the next line, and goes on after it if nothing is.
func (c *checker) check(line []byte) string {
	begun := len(line) - tailLength
	if begun < 0 || string(line[begun:begun+len(hashMember)]) != hashMember || string(line[len(line)-2:]) != `"}` {
		return "the line is no entry"
	}
	sum := sha256.Sum256(line[:begun])
	var hash [2 * sha256.Size]byte
	hex.Encode(hash[:], sum[:])
	if !bytes.Equal(hash[:], line[begun+len(hashMember):len(line)-2]) {
		return "its content does not have its hash: it was changed"
	}
	seq, prev, ok := begin(line)
	switch {
	case !ok:
		return "the line does not begin as an entry does"
	case seq != c.seq+1:
		return fmt.Sprintf("entry %d stands here: entries were taken out, put in or moved", seq)
	case prev != c.prev:
		return "it does not follow the entry before: one of the two was replaced"
	}
	if want, ok := c.wanted[seq]; ok && want != string(hash[:]) {
		return "it is not the entry that was signed: the log was written anew"
	}
	c.seq, c.prev = seq, string(hash[:])
	return ""
}

// begin reads how a line begins.
func begin(line []byte) (seq int64, prev string, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	if !ok {
		return 0, "", false
	}
	i := bytes.IndexByte(rest, ',')
	if i < 0 {
		return 0, "", false
	}
	seq, err := strconv.ParseInt(string(rest[:i]), 10, 64)
	rest, ok = bytes.CutPrefix(rest[i:], []byte(`,"prev":"`))
	if err != nil || !ok || len(rest) < 2*sha256.Size+1 || rest[2*sha256.Size] != '"' {
		return 0, "", false
	}
	return seq, string(rest[:2*sha256.Size]), true
}

// prevOf reads which hash the first line of a file follows, and goes back to its beginning.
func prevOf(f *os.File) (string, error) {
	line, err := bufio.NewReader(f).ReadSlice('\n')
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if _, prev, ok := begin(line); ok {
		return prev, nil
	}
	return zeros, nil
}
