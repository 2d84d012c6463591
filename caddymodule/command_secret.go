package caddymodule

import (
	"encoding/json"
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
		Short: "Puts, lists and deletes sealed secrets",
		Long: "Puts, lists and deletes sealed secrets. They lie encrypted beside the store; the keyring that opens them is named by the\n" +
			"configuration. A running server sees a change at once.",
		Example: `  caddy gatehouse secret put openai < key.txt
  caddy gatehouse secret list
  caddy gatehouse secret delete openai`,
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
	for _, c := range []*cobra.Command{put, list, del} {
		configFlags(c)
	}
	cmd.AddCommand(put, list, del, laterSubcommand("secret rotate"))
	return cmd
}

func laterSubcommand(name string) *cobra.Command {
	c := laterCommand(name)
	c.Use = name[strings.LastIndexByte(name, ' ')+1:]
	return c
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
