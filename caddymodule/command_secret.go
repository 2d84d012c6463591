package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatehouse-edge/gatehouse/secrets"
)

func secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Puts, lists and deletes sealed secrets, and rotates the keys that seal them",
		Long: "Puts, lists and deletes sealed secrets. They lie encrypted beside the store; the keyring that opens them is named by the\n" +
			"configuration. A running server sees a change at once.",
		Example: `  caddy gatehouse secret put openai < key.txt
  caddy gatehouse secret list
  caddy gatehouse secret delete openai
  caddy gatehouse secret rotate`,
	}
	put := &cobra.Command{
		Use:   "put NAME",
		Short: "Seals a secret; its value is read from standard input",
		Example: `  caddy gatehouse secret put openai < key.txt
  caddy gatehouse secret put openai --config ./Caddyfile   (asks for the value)`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, RunE: runSecretPut,
	}
	list := &cobra.Command{
		Use:     "list",
		Short:   "Lists names and ages, never values",
		Example: "  caddy gatehouse secret list --json",
		Args:    cobra.NoArgs, SilenceUsage: true, RunE: runSecretList,
	}
	list.Flags().Bool("json", false, "Print the list as JSON")
	del := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Deletes a secret",
		Example: "  caddy gatehouse secret delete openai",
		Args:    cobra.ExactArgs(1), SilenceUsage: true, RunE: runSecretDelete,
	}
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Gives the keyring a fresh key and seals everything with it",
		Long: "Adds a fresh key to the keyring, which becomes the one that seals, and seals all secrets, and the key of an encrypted store,\n" +
			"with it. A running server goes on, and takes the new key when it needs it. The keys before it stay in the keyring until\n" +
			"--prune removes those that nothing is sealed with: keep them for as long as backups need them.",
		Example: `  caddy gatehouse secret rotate
  caddy gatehouse secret rotate --prune --json`,
		Args: cobra.NoArgs, SilenceUsage: true, RunE: runSecretRotate,
	}
	rotate.Flags().Bool("prune", false, "Remove the keys that nothing is sealed with")
	rotate.Flags().Bool("json", false, "Print the result as JSON")
	for _, c := range []*cobra.Command{put, list, del, rotate} {
		configFlags(c)
	}
	cmd.AddCommand(put, list, del, rotate)
	return cmd
}

// rotated is what came of a rotation.
type rotated struct {
	Primary  string   `json:"primary"`
	Resealed int      `json:"resealed"`
	StoreKey bool     `json:"store_key"`
	Removed  []string `json:"removed"`
}

func runSecretRotate(cmd *cobra.Command, _ []string) error {
	app, _, err := appFor(cmd)
	if err != nil {
		return err
	}
	store, err := app.storage()
	if err != nil {
		return err
	}
	vault, err := app.newVault()
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	if err := vault.Verify(); err != nil {
		return fmt.Errorf("secrets: nothing was changed: %w", err)
	}
	file, err := app.keyringFile(store.dir)
	if err != nil {
		return err
	}
	done := rotated{Removed: []string{}}
	if done.Primary, err = file.Rotate(); err != nil {
		return err
	}
	// From here on, what stops halfway is sealed with keys that are all in the keyring; another run goes on.
	if done.Resealed, err = vault.Reseal(); err != nil {
		return err
	}
	if done.StoreKey, err = store.resealKeys(); err != nil {
		return err
	}
	if prune, _ := cmd.Flags().GetBool("prune"); prune {
		var failed error
		removed, err := file.Prune(func(id string) bool {
			used, err := vault.Uses(id)
			if err != nil {
				failed = err
			}
			return used || err != nil
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		done.Removed = append(done.Removed, removed...)
	}
	out := cmd.OutOrStdout()
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return json.NewEncoder(out).Encode(done)
	}
	fmt.Fprintf(out, "The keyring has a fresh key, %s. Secrets sealed with it: %d.\n", done.Primary, done.Resealed)
	if done.StoreKey {
		fmt.Fprintln(out, "The store's key is sealed with it too; to encrypt the store with another key: caddy gatehouse store-key rotate")
	}
	if len(done.Removed) > 0 {
		fmt.Fprintf(out, "Removed from the keyring: %s. Backups of secrets that were sealed with them cannot be opened any more.\n", strings.Join(done.Removed, ", "))
	} else {
		fmt.Fprintln(out, "The keys before it are still there, for backups; remove them with: caddy gatehouse secret rotate --prune")
	}
	return nil
}

func runSecretPut(cmd *cobra.Command, args []string) error {
	vault, err := vaultFor(cmd)
	if err != nil {
		return err
	}
	value, err := readSecret(cmd, args[0])
	if err != nil {
		return err
	}
	if err := vault.Put(args[0], secrets.NewValue(value)); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is sealed. Bind it to an agent with: secret BINDING %s\n", args[0], args[0])
	return nil
}

// readSecret reads the value: from the terminal without echo, else from standard input to its end, without the line
// break that editors and echo leave there.
func readSecret(cmd *cobra.Command, name string) (string, error) {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(cmd.ErrOrStderr(), "Value of %s (not shown): ", name)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), secrets.MaxValueBytes+2))
	if err != nil {
		return "", fmt.Errorf("read the value: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

func runSecretList(cmd *cobra.Command, _ []string) error {
	vault, err := vaultFor(cmd)
	if err != nil {
		return err
	}
	infos, err := vault.List()
	if err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		if infos == nil {
			infos = []secrets.Info{}
		}
		return json.NewEncoder(cmd.OutOrStdout()).Encode(infos)
	}
	if len(infos) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "There are no secrets. Put one with: caddy gatehouse secret put NAME")
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tUPDATED\tAGE\tKEY")
	for _, i := range infos {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.Name, i.Updated.Local().Format(time.DateTime), time.Since(i.Created).Round(time.Second), i.KeyID)
	}
	return w.Flush()
}

func runSecretDelete(cmd *cobra.Command, args []string) error {
	vault, err := vaultFor(cmd)
	if err != nil {
		return err
	}
	if err := vault.Delete(args[0]); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is deleted. Agents bound to it fail when they next open it.\n", args[0])
	return nil
}

// vaultFor opens the secrets that the configuration names; without one, those in Caddy's data folder.
func vaultFor(cmd *cobra.Command) (*secrets.Vault, error) {
	app, _, err := appFor(cmd)
	if err != nil {
		return nil, err
	}
	vault, err := app.newVault()
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	return vault, nil
}
