package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/archive"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Writes all actors, alarms and KV namespaces to a file",
		Long: "Writes all that the store holds to a file, as it is at one moment: actors with their alarms, KV namespaces, strict zones. A\n" +
			"running server goes on meanwhile; of a stopped one the files are read. Everything is checked on the way, so a backup that is\n" +
			"there is whole. FILE - is standard output. The file is not encrypted, whatever the store is: keep it accordingly.\n\n" +
			"Not in it: secrets.json, the keyring, store.key, analytics.db. Copy these as files.",
		Example: `  caddy gatehouse backup /backup/gatehouse-$(date +%F).backup
  caddy gatehouse backup - --config /etc/caddy/Caddyfile | age -r age1... > store.backup.age
  caddy gatehouse backup store.backup --json`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, RunE: runBackup,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	storeFlags(cmd)
	return cmd
}

// backupResult is what backup and restore print for programs.
type backupResult struct {
	archive.Summary
	File string    `json:"file"`
	Made time.Time `json:"made"`
	// Store is the folder of the store.
	Store string `json:"store"`
	// Live says that a running server made the backup.
	Live bool `json:"live"`
}

func runBackup(cmd *cobra.Command, args []string) error {
	s, err := storeFor(cmd)
	if err != nil {
		return err
	}
	live, err := s.held()
	if err != nil {
		return err
	}
	out, done, err := newFile(cmd, args[0])
	if err != nil {
		return err
	}
	r := backupResult{File: args[0], Store: s.path(), Live: live, Made: time.Now().UTC()}
	t := newTicker(cmd, "backup")
	if live {
		err = backupLive(cmd, s, out, t, &r)
	} else {
		err = s.withSnapshot(func(v durable.Snapshot) error {
			var err error
			r.Summary, err = writeBackup(storeContext(cmd), out, v, r.Made, func(sum archive.Summary) { t.tell(sum.Actors, sum.Entries, sum.Bytes) })
			return adviseOnStore(err, s.path())
		})
	}
	if err := done(err); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON && args[0] != "-" {
		return printJSON(cmd, r)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s holds %d actors with %d entries, %s, as of %s.\nNot in it: secrets.json, the keyring, store.key and analytics.db of %s. To bring it back: caddy gatehouse restore %s\n",
		args[0], r.Actors, r.Entries, humanize.IBytes(uint64(r.Bytes)), r.Made.Local().Format(time.DateTime), s.dir, args[0])
	return nil
}

// writeBackup is what the server and the command have in common.
func writeBackup(ctx context.Context, to io.Writer, v durable.Snapshot, made time.Time, progress func(archive.Summary)) (archive.Summary, error) {
	simple, _ := caddy.Version()
	return archive.Write(ctx, to, v, archive.Header{Made: made, Program: simple}, progress)
}

// backupLive takes the backup that a running server makes, and checks it as it comes: a connection that ends early is not
// a backup.
func backupLive(cmd *cobra.Command, s storage, out io.Writer, t *ticker, r *backupResult) error {
	in, err := s.ask(cmd, "/gatehouse/backup", url.Values{})
	if err != nil {
		return err
	}
	defer in.Close()
	from, err := archive.NewReader(io.TeeReader(in, out))
	if err != nil {
		return err
	}
	for {
		_, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, archive.ErrDamaged) {
			return fmt.Errorf("%w; the server ended the backup, its log says why", err)
		}
		if err != nil {
			return err
		}
		sum := from.Summary()
		t.tell(sum.Actors, sum.Entries, sum.Bytes)
	}
	r.Summary, r.Made = from.Summary(), from.Header().Made
	return nil
}

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Fills an empty store from a backup",
		Long: "Fills an empty store from a backup, reads all of it back and compares the digests of what is there with those of the file.\n" +
			"The store appears only after that: a restore that fails leaves nothing. The server must be stopped. FILE - is standard input.",
		Example: `  caddy gatehouse restore store.backup
  caddy gatehouse restore store.backup --config /etc/caddy/Caddyfile --json`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, RunE: runRestore,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	configFlags(cmd)
	cmd.Flags().Bool("json", false, "Print the result as JSON")
	return cmd
}

func runRestore(cmd *cobra.Command, args []string) error {
	s, err := storeFor(cmd)
	if err != nil {
		return err
	}
	if live, err := s.held(); err != nil || live {
		return errors.Join(err, fmt.Errorf("restore: a server holds %s; stop it, and move that folder away if it holds something", s.path()))
	}
	in := cmd.InOrStdin()
	if args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		defer f.Close()
		in = f
	}
	from, err := archive.NewReader(in)
	if err != nil {
		return fmt.Errorf("restore %s: %w", args[0], err)
	}
	sum, err := s.fill(func(to *badgerstore.Store) (archive.Summary, error) {
		t := newTicker(cmd, "restore")
		restored, err := archive.Restore(storeContext(cmd), to, from, func(sum archive.Summary) { t.tell(sum.Actors, sum.Entries, sum.Bytes) })
		if err != nil {
			return archive.Summary{}, err
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "restore: everything is written; reading it back")
		v, err := to.Snapshot()
		if err != nil {
			return archive.Summary{}, err
		}
		defer v.Close()
		return restored.Summary, restored.Verify(storeContext(cmd), v)
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", args[0], err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd, backupResult{Summary: sum, File: args[0], Store: s.path(), Made: from.Header().Made})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d actors with %d entries, %s, are in %s, as of %s. Alarms that have come due since fire when the server starts.\nNext: put secrets.json and the keyring in place if they are not, and start the server.\n",
		sum.Actors, sum.Entries, humanize.IBytes(uint64(sum.Bytes)), s.path(), from.Header().Made.Local().Format(time.DateTime))
	return nil
}

// fill makes a store where there is none: in a folder beside it, which takes its place once use has succeeded.
func (s storage) fill(use func(*badgerstore.Store) (archive.Summary, error)) (sum archive.Summary, err error) {
	if entries, err := os.ReadDir(s.path()); err == nil && len(entries) > 0 {
		return sum, fmt.Errorf("%s is not empty; move it away first, or name another folder in the configuration", s.path())
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return sum, err
	}
	c, err := s.config()
	if err != nil {
		return sum, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return sum, err
	}
	if err := s.removeUnfinished(); err != nil {
		return sum, err
	}
	if c.Dir, err = os.MkdirTemp(s.dir, unfinished); err != nil {
		return sum, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.Dir))
		}
	}()
	to, err := badgerstore.Open(c)
	if err != nil {
		return sum, err
	}
	sum, err = use(to)
	if err = errors.Join(err, to.Close()); err != nil {
		return sum, err
	}
	if err := os.Remove(s.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return sum, err
	}
	if err := os.Rename(c.Dir, s.path()); err != nil {
		return sum, err
	}
	return sum, syncFolder(filepath.Dir(s.path()))
}

// unfinished begins the names of folders in which a store is being made.
const unfinished = "store.restoring-"

// removeUnfinished removes what a command that was killed has left.
func (s storage) removeUnfinished() error {
	dirs, err := filepath.Glob(filepath.Join(s.dir, unfinished+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if badgerstore.Locked(dir) != nil {
			continue // somebody is at it
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// syncFolder makes a change of names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}
