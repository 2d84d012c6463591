package webcrypto

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"testing"
)

// TestSaltless holds the encoding without a salt against the standard library, which finds the salt's length by itself.
func TestSaltless(t *testing.T) {
	for _, bits := range []int{1024, 1025, 1031, 2048} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
			h := hash.New()
			h.Write([]byte("message"))
			sum := h.Sum(nil)
			signature, err := signPSS(key, hash, sum, 0)
			if err != nil {
				t.Fatal(bits, err)
			}
			if err := rsa.VerifyPSS(&key.PublicKey, hash, sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}); err != nil {
				t.Errorf("%d bits, %v: the standard library refuses the signature: %v", bits, hash, err)
			}
			if err := verifyPSS(&key.PublicKey, hash, sum, signature, 0); err != nil {
				t.Errorf("%d bits, %v: %v", bits, hash, err)
			}
			salted, err := signPSS(key, hash, sum, 8)
			if err != nil {
				t.Fatal(err)
			}
			if verifyPSS(&key.PublicKey, hash, sum, salted, 0) == nil {
				t.Errorf("%d bits, %v: a signature with a salt passes for one without", bits, hash)
			}
		}
	}
}

func TestUntilWrap(t *testing.T) {
	cases := []struct {
		counter string
		bits    int
		want    uint64
	}{
		{"000000000000000000000000000000fe", 8, 2},
		{"00000000000000000000000000000000", 8, 256},
		{"ffffffffffffffffffffffffffffffff", 128, 1},
		{"00ffffffffffffffffffffffffffffff", 120, 1},
		{"00ffffffffffffffffffffffffffffff", 128, 0},
		{"0000000000000000fffffffffffffffe", 64, 2},
		{"0000000000000001fffffffffffffffe", 65, 2},
		{"0000000000000000fffffffffffffffe", 65, 0},
	}
	for _, c := range cases {
		counter, _ := hex.DecodeString(c.counter)
		if got := untilWrap(counter, c.bits); got != c.want {
			t.Errorf("%s with %d bits wraps after %d blocks, not %d", c.counter, c.bits, got, c.want)
		}
	}
	counter := bytes.Repeat([]byte{0xff}, 16)
	clearLow(counter, 12)
	if got := hex.EncodeToString(counter); got != "fffffffffffffffffffffffffffff000" {
		t.Errorf("clearing 12 bits leaves %s", got)
	}
}

// FuzzImport looks for data that breaks the import of keys rather than being refused.
func FuzzImport(f *testing.F) {
	f.Add("spki", "ECDSA", []byte{0x30, 0x03, 0x30, 0x01, 0x06})
	f.Add("pkcs8", "Ed25519", []byte{0x30})
	f.Add("raw", "ECDH", append([]byte{2}, make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, format, name string, data []byte) {
		canonical, _, ok := Lookup(OpImport, name)
		if !ok || format == "jwk" {
			t.Skip()
		}
		p := &Params{Name: canonical, Hash: "SHA-256", NamedCurve: "P-256", Length: -1}
		k, err := Import(format, KeyData{Bytes: data}, p, true, UseVerify)
		if err == nil && k.material == nil {
			t.Error("a key without material")
		}
	})
}
