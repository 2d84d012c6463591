package caddymodule

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/record/audit"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Checks the audit log",
		Long:    "Checks the audit log, which the option audit of the global gatehouse block writes.",
		Example: "  caddy gatehouse audit verify",
	}
	verify := &cobra.Command{
		Use:   "verify [FOLDER]",
		Short: "Finds every change, gap or cut in the audit log",
		Long: "Reads the whole audit log and finds the first entry that was changed, taken out, put in, moved or cut off. It ends with status 1 if there is\n" +
			"one, and says where. The server may run meanwhile.\n\n" +
			"Without FOLDER it is the log of the configuration, checked with the key in that server's keyring. With FOLDER it is checked with the key\n" +
			"that lies beside the log, which somebody who can write the folder could have replaced; name the one that the server said when it opened\n" +
			"the log: --key. Who can write the folder could also put the whole of it back to an earlier day: keep the head that this command prints\n" +
			"somewhere else, and give it the next time: --head.",
		Example: `  caddy gatehouse audit verify
  caddy gatehouse audit verify --config /etc/caddy/Caddyfile --json
  caddy gatehouse audit verify ./audit --key 9f86d081… --head 1041:5feceb66…`,
		Args: cobra.MaximumNArgs(1), SilenceUsage: true, RunE: runAuditVerify,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
	}
	configFlags(verify)
	verify.Flags().Bool("json", false, "Print the result as JSON")
	verify.Flags().String("key", "", "The public key that must have signed the log, 64 hex digits")
	verify.Flags().String("head", "", "A head that the log must have, as SEQ:HASH")
	cmd.AddCommand(verify)
	return cmd
}

func runAuditVerify(cmd *cobra.Command, args []string) error {
	var o audit.VerifyOptions
	dir, err := auditedFolder(cmd, args, &o)
	if err != nil {
		return err
	}
	if text, _ := cmd.Flags().GetString("key"); text != "" {
		if o.Key, err = audit.ParseKey(text); err != nil {
			return fmt.Errorf("--key: %w", err)
		}
	}
	if text, _ := cmd.Flags().GetString("head"); text != "" {
		head, err := audit.ParseHead(text)
		if err != nil {
			return fmt.Errorf("--head: %w", err)
		}
		o.Head = &head
	}
	last := time.Now()
	o.Progress = func(read, all int64) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			fmt.Fprintf(cmd.ErrOrStderr(), "verify: %s of %s\n", humanize.IBytes(uint64(read)), humanize.IBytes(uint64(all)))
		}
	}
	r, err := audit.Verify(storeContext(cmd), dir, o)
	if err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		if err := printJSON(cmd, r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries in %d files, %s, signed with %s\n", dir, r.Entries, r.Files, humanize.IBytes(uint64(r.Bytes)), r.Key)
		if r.Fault == nil && r.Entries > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "head %s\n", r.Head)
		}
		if r.Unsigned > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%d entries are after the signed head: the server is writing, or ended in the middle of it.\n", r.Unsigned)
		}
	}
	if r.Fault != nil {
		return fmt.Errorf("%s: %w. Entries 1 to %d are whole. Keep the folder as it is, and compare it with a copy from elsewhere", r.Fault.File, r.Fault, r.Entries)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Nothing was changed. Keep the head elsewhere, and give it the next time with --head: then a log that was put back to an earlier day shows too.")
	return nil
}

// auditedFolder is the folder that is meant; without an argument that of the configuration, whose key goes into o.
func auditedFolder(cmd *cobra.Command, args []string, o *audit.VerifyOptions) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	app, _, err := appFor(cmd)
	if err != nil {
		return "", err
	}
	if app.Audit == nil {
		return "", errors.New("the configuration has no audit log; name its folder, or the configuration with --config")
	}
	dir, err := app.path(app.Audit.Dir)
	if err != nil {
		return "", err
	}
	vault, err := app.newVault()
	if err != nil {
		return "", err
	}
	key, err := keyOf(vault, auditGroup)
	if errors.Is(err, errNoKey) {
		return "", errors.New("the key that signs the audit log is not in the keyring of this configuration; has its server run yet? With --key and the folder no keyring is needed")
	}
	if err != nil {
		return "", fmt.Errorf("the key that signs the audit log: %w", err)
	}
	o.Key = key.Public().(ed25519.PublicKey)
	return dir, nil
}
