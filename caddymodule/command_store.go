package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

// configFlags adds the flags that name the configuration.
func configFlags(cmd *cobra.Command) {
	cmd.Flags().StringP("config", "c", "", "The configuration that names the store and the keyring (default ./Caddyfile if it is there)")
	cmd.Flags().StringP("adapter", "a", "", "The configuration's adapter (default by its name)")
}

// appFor reads the configuration that a command names; without one, it has the defaults. listen is the address of the
// admin endpoint in it, empty if it is not said.
func appFor(cmd *cobra.Command) (app *App, listen string, err error) {
	config, _ := cmd.Flags().GetString("config")
	adapter, _ := cmd.Flags().GetString("adapter")
	raw, file, _, err := caddycmd.LoadConfig(config, adapter)
	if err != nil {
		return nil, "", err
	}
	app = new(App)
	if len(raw) == 0 {
		return app, "", nil
	}
	var c struct {
		Admin struct {
			Listen string `json:"listen"`
		} `json:"admin"`
		Apps struct {
			Gatehouse *App `json:"gatehouse"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	if c.Apps.Gatehouse != nil {
		app = c.Apps.Gatehouse
	}
	return app, c.Admin.Listen, nil
}

// storeFlags adds the flags of a command that works on the store: on the server that holds it, or on its files.
func storeFlags(cmd *cobra.Command) {
	configFlags(cmd)
	cmd.Flags().String("address", "", "The admin endpoint of the server that holds the store (default what the configuration says, else "+caddy.DefaultAdminListen+")")
	cmd.Flags().Bool("json", false, "Print the result as JSON")
}

// storeFor finds the store that a command is about, and sets --address to where its server is asked.
func storeFor(cmd *cobra.Command) (storage, error) {
	app, listen, err := appFor(cmd)
	if err != nil {
		return storage{}, err
	}
	s, err := app.storage()
	if err != nil {
		return storage{}, err
	}
	if f := cmd.Flags().Lookup("address"); f != nil && f.Value.String() == "" && listen != "" {
		if err := f.Value.Set(listen); err != nil {
			return storage{}, err
		}
	}
	return s, nil
}

// held reports whether a process holds the store, so that it must be asked.
func (s storage) held() (bool, error) {
	err := badgerstore.Locked(s.path())
	if errors.Is(err, badgerstore.ErrLocked) {
		return true, nil
	}
	return false, err
}

// ask asks the server that holds the store. The caller closes the answer.
func (s storage) ask(cmd *cobra.Command, path string, q url.Values) (io.ReadCloser, error) {
	holder := badgerstore.Locked(s.path())
	q.Set("store", s.dir)
	resp, err := adminRequest(cmd, "GET", path+"?"+q.Encode(), nil)
	if err != nil && holder != nil {
		return nil, fmt.Errorf("%w; ask its server: %w", holder, err)
	}
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// existing opens a store that must be there and that nobody holds.
func (s storage) existing() (*badgerstore.Store, error) {
	_, exists, err := badgerstore.Encrypted(s.path())
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, fmt.Errorf("there is no store in %s; name the configuration of your server with --config", s.path())
	}
	return s.open()
}

// withSnapshot gives a snapshot of a store that nobody holds.
func (s storage) withSnapshot(use func(durable.Snapshot) error) error {
	store, err := s.existing()
	if err != nil {
		return err
	}
	v, err := store.Snapshot()
	if err == nil {
		err = use(v)
		v.Close()
	}
	return errors.Join(err, store.Close())
}

// ticker tells on standard error how far a long command has come, at most once a second.
type ticker struct {
	out   io.Writer
	what  string
	begun time.Time

	mu   sync.Mutex
	last time.Time
}

func newTicker(cmd *cobra.Command, what string) *ticker {
	now := time.Now()
	return &ticker{out: cmd.ErrOrStderr(), what: what, begun: now, last: now}
}

func (t *ticker) tell(actors, entries, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.last) >= time.Second {
		t.last = now
		fmt.Fprintf(t.out, "%s: %d actors, %d entries, %s\n", t.what, actors, entries, humanize.IBytes(uint64(bytes)))
	}
}

// printJSON prints a result for programs.
func printJSON(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// newFile makes a file that is complete once done is called with nil, and is not there otherwise. "-" is standard output.
func newFile(cmd *cobra.Command, path string) (w io.Writer, done func(error) error, err error) {
	if path == "-" {
		return cmd.OutOrStdout(), func(err error) error { return err }, nil
	}
	if _, err := os.Stat(path); err == nil {
		return nil, nil, fmt.Errorf("%s is there already; name another file, or remove it", path)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return f, func(err error) error {
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(part, path)
		}
		if err != nil {
			_ = os.Remove(part)
		}
		return err
	}, nil
}

func storeKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store-key",
		Short: "Replaces the key that encrypts the store",
		Example: `  caddy gatehouse store-key rotate
  caddy gatehouse store-key rotate --config /etc/caddy/Caddyfile`,
	}
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Gives a stopped, encrypted store another key",
		Long: "Gives the store another key, sealed in store.key under the keyring's primary key. The server must be stopped. What is stored\n" +
			"is not written anew: the keys of its files are sealed with the new key, and the engine changes those every ten days.",
		Example: `  caddy gatehouse store-key rotate --config /etc/caddy/Caddyfile`,
		Args:    cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := storeFor(cmd)
			if err != nil {
				return err
			}
			if err := s.rotateKey(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The store in %s has a new key. Copies of %s from before open only copies of the store from before.\nNext: start the server.\n", s.path(), s.keyPath())
			return nil
		},
	}
	configFlags(rotate)
	cmd.AddCommand(rotate)
	return cmd
}

// storeContext ends when the user interrupts the command.
func storeContext(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}
