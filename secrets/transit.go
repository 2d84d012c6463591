package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Transit is a Wrapper by the transit engine of HashiCorp Vault, or of OpenBao, over its HTTP API
// (https://developer.hashicorp.com/vault/api-docs/secret/transit). The key stays there.
type Transit struct {
	// Address is the server's origin, such as https://vault.example:8200; http only for a loopback address.
	Address string
	// Key is the name of the key, of a type that can encrypt.
	Key string
	// Mount is where the engine is mounted; default transit.
	Mount string
	// Namespace is that of Vault Enterprise; empty for none.
	Namespace string
	// Token gives the token. It is asked for each call, so that a token that is renewed in a file is taken.
	Token func() (Value, error)
	// Client sends the requests; default http.DefaultClient.
	Client *http.Client
}

// maxTransitAnswer bounds an answer, in bytes.
const maxTransitAnswer = 4 << 20

// Check says what is wrong with the address or the key's name.
func (t *Transit) Check() error {
	u, err := url.Parse(t.Address)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return fmt.Errorf("%q is not the address of a server, such as https://vault.example:8200", t.Address)
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && !(u.Scheme == "http" && (addr.IsLoopback() || u.Hostname() == "localhost")) {
		return fmt.Errorf("%s: the keyring's key goes over https only", t.Address)
	}
	for _, name := range []string{t.Key, t.mount()} {
		if name == "" || strings.ContainsAny(name, "?#%") || strings.Contains(name, "..") {
			return fmt.Errorf("%q is not the name of a transit key or mount", name)
		}
	}
	return nil
}

func (t *Transit) mount() string {
	if t.Mount == "" {
		return "transit"
	}
	return strings.Trim(t.Mount, "/")
}

// Wrap implements Wrapper.
func (t *Transit) Wrap(ctx context.Context, keyring []byte) ([]byte, error) {
	var answer struct {
		Ciphertext string `json:"ciphertext"`
	}
	if err := t.call(ctx, "encrypt", map[string]string{"plaintext": base64.StdEncoding.EncodeToString(keyring)}, &answer); err != nil {
		return nil, err
	}
	if answer.Ciphertext == "" {
		return nil, errors.New("vault's answer has no ciphertext")
	}
	return []byte(answer.Ciphertext), nil
}

// Unwrap implements Wrapper.
func (t *Transit) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	var answer struct {
		Plaintext []byte `json:"plaintext"`
	}
	if err := t.call(ctx, "decrypt", map[string]string{"ciphertext": string(wrapped)}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Plaintext) == 0 {
		return nil, errors.New("vault's answer has no plaintext")
	}
	return answer.Plaintext, nil
}

// call does one operation of the transit engine. Its errors have neither the token nor what was sent.
func (t *Transit) call(ctx context.Context, operation string, body map[string]string, data any) error {
	if err := t.Check(); err != nil {
		return err
	}
	token, err := t.Token()
	if err != nil {
		return err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(t.Address, "/")+"/v1/"+t.mount()+"/"+operation+"/"+t.Key, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Vault-Token", token.Reveal())
	req.Header.Set("X-Vault-Request", "true")
	if t.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", t.Namespace)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if t.Client != nil {
		client.Transport = t.Client.Transport
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("vault at %s cannot be reached: %w", t.Address, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxTransitAnswer))
	if err != nil {
		return fmt.Errorf("vault at %s: %w", t.Address, err)
	}
	if resp.StatusCode != http.StatusOK {
		var failed struct {
			Errors []string `json:"errors"`
		}
		_ = json.Unmarshal(answer, &failed)
		return fmt.Errorf("vault at %s refuses to %s with the key %s: status %d %s; look at the token's policy and at the key's name",
			t.Address, operation, t.Key, resp.StatusCode, strings.Join(failed.Errors, "; "))
	}
	whole := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(answer, &whole); err != nil {
		return fmt.Errorf("vault at %s gives an answer that is not its API's", t.Address)
	}
	return nil
}

var _ Wrapper = (*Transit)(nil)
