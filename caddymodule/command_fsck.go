package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/durable/archive"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

func fsckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fsck [FILE]",
		Short: "Checks everything that the store, or a backup, holds",
		Long: "Reads everything that a stopped store holds and checks it: each value with its parts against its checksum, each actor's keys\n" +
			"against their count and digest. With FILE it checks a backup instead. The store is read in a process of its own, since damage\n" +
			"can crash the engine. It ends with status 1 if something is hurt, and says which actor and key, and what to do.\n\n" +
			"A running server's store is checked by: caddy gatehouse backup FILE, which reads and checks everything as well.",
		Example: `  caddy gatehouse fsck
  caddy gatehouse fsck --config /etc/caddy/Caddyfile --json
  caddy gatehouse fsck store.backup`,
		Args: cobra.MaximumNArgs(1), SilenceUsage: true, RunE: runFsck,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	configFlags(cmd)
	cmd.Flags().Bool("json", false, "Print the result as JSON")
	return cmd
}

// fsckResult is what fsck prints for programs.
type fsckResult struct {
	badgerstore.Scrubbed
	// Checked is the folder or the file.
	Checked string `json:"checked"`
	Whole   bool   `json:"whole"`
	// Error is why the check did not come to its end.
	Error   string          `json:"error,omitempty"`
	Damages []*damageReport `json:"damages"`
}

func runFsck(cmd *cobra.Command, args []string) error {
	r := fsckResult{Damages: []*damageReport{}}
	var failed error
	var advice string
	if len(args) == 1 {
		r.Checked = args[0]
		failed = fsckFile(cmd, args[0], &r)
		advice = "This backup cannot be restored; use an earlier one."
	} else {
		s, err := storeFor(cmd)
		if err != nil {
			return err
		}
		r.Checked = s.path()
		if failed, err = fsckStore(cmd, s, &r); err != nil {
			return err
		}
		advice = fmt.Sprintf("To go back to a backup: move %s away, then caddy gatehouse restore FILE. To keep what is whole: caddy gatehouse actors export --skip-damaged > actors.jsonl, move the folder away, caddy gatehouse actors import actors.jsonl.", s.path())
	}
	r.Whole = failed == nil && r.Damaged == 0
	if failed != nil {
		r.Error = failed.Error()
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		if err := printJSON(cmd, r); err != nil {
			return err
		}
	} else {
		for _, d := range r.Damages {
			fmt.Fprintln(cmd.OutOrStdout(), d.String())
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d actors, %d entries, %s were checked.\n", r.Checked, r.Actors, r.Entries, humanize.IBytes(uint64(r.Bytes)))
		if r.Orphans > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%d records belong to nobody; they do no harm.\n", r.Orphans)
		}
	}
	switch {
	case failed != nil:
		return fmt.Errorf("fsck: %w. %s", failed, advice)
	case r.Damaged > 0:
		return fmt.Errorf("fsck: %d damages. %s", r.Damaged, advice)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Nothing is hurt.")
	return nil
}

// String is a damage for people.
func (d *damageReport) String() string {
	var b strings.Builder
	switch {
	case d.ID == "":
		b.WriteString("the store")
	default:
		b.WriteString(d.Namespace + " " + d.ID)
		if d.Name != "" {
			fmt.Fprintf(&b, " (%s)", indent(d.Name))
		}
	}
	if d.Key != nil {
		fmt.Fprintf(&b, " key %q", *d.Key)
	}
	return b.String() + ": " + indent(d.Error)
}

// fsckStore checks a store that nobody holds. failed is why the check did not come to its end; err why there was none.
func fsckStore(cmd *cobra.Command, s storage, r *fsckResult) (failed, err error) {
	if live, err := s.held(); err != nil {
		return nil, err
	} else if live {
		return nil, fmt.Errorf("fsck: %w; stop the server, or check what it holds by: caddy gatehouse backup FILE", badgerstore.Locked(s.path()))
	}
	_, exists, err := badgerstore.Encrypted(s.path())
	if err == nil && !exists {
		err = fmt.Errorf("there is no store in %s; name the configuration of your server with --config", s.path())
	}
	if err != nil {
		return nil, err
	}
	c, err := s.config()
	if err != nil {
		return nil, err
	}
	t := newTicker(cmd, "fsck")
	return runInspector(storeContext(cmd), c, true, func(f finding) {
		if f.Damage != nil {
			r.Damages = append(r.Damages, f.Damage)
		}
		if f.Progress != nil {
			r.Scrubbed = *f.Progress
			t.tell(r.Actors, r.Entries, r.Bytes)
		}
	}), nil
}

// fsckFile checks a backup.
func fsckFile(cmd *cobra.Command, path string, r *fsckResult) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	from, err := archive.NewReader(f)
	if err != nil {
		return err
	}
	t := newTicker(cmd, "fsck")
	for {
		_, err := from.Next()
		sum := from.Summary()
		r.Actors, r.Entries, r.Bytes = sum.Actors, sum.Entries, sum.Bytes
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		t.tell(sum.Actors, sum.Entries, sum.Bytes)
	}
}
