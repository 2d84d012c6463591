package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/kv"
)

func kvCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kv",
		Short: "Gets, puts, lists and deletes keys of KV namespaces",
		Long:  "Gets, puts, lists and deletes keys of the KV namespaces that agents of a running server are bound to.",
		Example: `  caddy gatehouse kv list tokens --prefix user:
  caddy gatehouse kv get tokens user:alice
  caddy gatehouse kv put tokens user:alice < alice.json
  caddy gatehouse kv delete tokens user:alice`,
	}
	get := &cobra.Command{
		Use: "get NAMESPACE KEY", Short: "Writes a key's value to standard output",
		Example: "  caddy gatehouse kv get tokens user:alice\n  caddy gatehouse kv get tokens user:alice --json",
		Args:    cobra.ExactArgs(2), SilenceUsage: true, RunE: runKVGet,
	}
	put := &cobra.Command{
		Use: "put NAMESPACE KEY [VALUE]", Short: "Puts a key; its value is the argument, or is read from standard input",
		Example: "  caddy gatehouse kv put tokens user:alice < alice.json\n  caddy gatehouse kv put tokens flag on --ttl 1h --metadata '{\"by\":\"ops\"}'",
		Args:    cobra.RangeArgs(2, 3), SilenceUsage: true, RunE: runKVPut,
	}
	put.Flags().Duration("ttl", 0, "How long the key lives, at least 1m (default for ever)")
	put.Flags().String("metadata", "", "The key's metadata, as JSON")
	list := &cobra.Command{
		Use: "list NAMESPACE", Short: "Lists keys",
		Example: "  caddy gatehouse kv list tokens --prefix user: --limit 20",
		Args:    cobra.ExactArgs(1), SilenceUsage: true, RunE: runKVList,
	}
	list.Flags().String("prefix", "", "Only keys that begin with this")
	list.Flags().Int("limit", 1000, "How many keys at most, to 1000")
	list.Flags().String("cursor", "", "Go on after an earlier page")
	del := &cobra.Command{
		Use: "delete NAMESPACE KEY", Short: "Deletes a key",
		Example: "  caddy gatehouse kv delete tokens user:alice",
		Args:    cobra.ExactArgs(2), SilenceUsage: true, RunE: runKVDelete,
	}
	for _, c := range []*cobra.Command{get, put, list, del} {
		adminFlag(c)
		c.Flags().Bool("json", false, "Print the result as JSON")
	}
	cmd.AddCommand(get, put, list, del)
	return cmd
}

// askKV asks the server. What it answers is printed as JSON where that is wanted, and is read into to else.
func askKV(cmd *cobra.Command, method string, q url.Values, body, to any) (printed bool, err error) {
	resp, err := adminRequest(cmd, method, "/gatehouse/kv?"+q.Encode(), body)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return true, printJSON(cmd, to)
	}
	return false, nil
}

func runKVGet(cmd *cobra.Command, args []string) error {
	var item kvItem
	if printed, err := askKV(cmd, http.MethodGet, url.Values{"namespace": {args[0]}, "key": {args[1]}}, nil, &item); printed || err != nil {
		return err
	}
	_, err := cmd.OutOrStdout().Write(item.Value)
	return err
}

func runKVPut(cmd *cobra.Command, args []string) error {
	item := kvItem{Namespace: args[0], Key: args[1]}
	if len(args) == 3 {
		item.Value = []byte(args[2])
	} else {
		var err error
		if item.Value, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), kv.MaxValueBytes+1)); err != nil {
			return fmt.Errorf("read the value: %w", err)
		}
	}
	ttl, _ := cmd.Flags().GetDuration("ttl")
	item.TTL = int64(ttl / time.Second)
	if text, _ := cmd.Flags().GetString("metadata"); text != "" {
		if item.Metadata = json.RawMessage(text); !json.Valid(item.Metadata) {
			return fmt.Errorf("--metadata is not JSON: %s", text)
		}
	}
	var done kvItem
	if printed, err := askKV(cmd, http.MethodPut, nil, item, &done); printed || err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is put, %d bytes.\n", plain(args[1]), len(item.Value))
	return err
}

func runKVList(cmd *cobra.Command, args []string) error {
	limit, _ := cmd.Flags().GetInt("limit")
	prefix, _ := cmd.Flags().GetString("prefix")
	cursor, _ := cmd.Flags().GetString("cursor")
	var page kvPage
	q := url.Values{"namespace": {args[0]}, "prefix": {prefix}, "limit": {strconv.Itoa(limit)}, "cursor": {cursor}}
	if printed, err := askKV(cmd, http.MethodGet, q, nil, &page); printed || err != nil {
		return err
	}
	if len(page.Keys) == 0 {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s has no such keys.\n", plain(args[0]))
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tEXPIRES\tMETADATA")
	for _, k := range page.Keys {
		expires, metadata := "-", "-"
		if !k.Expiration.IsZero() {
			expires = k.Expiration.Local().Format(time.DateTime)
		}
		if len(k.Metadata) > 0 {
			metadata = plain(string(k.Metadata))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", plain(k.Key), expires, metadata)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if page.Cursor != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "There are more; go on with: caddy gatehouse kv list %s --cursor %s\n", args[0], page.Cursor)
	}
	return nil
}

func runKVDelete(cmd *cobra.Command, args []string) error {
	var done kvItem
	if printed, err := askKV(cmd, http.MethodDelete, url.Values{"namespace": {args[0]}, "key": {args[1]}}, nil, &done); printed || err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is deleted.\n", plain(args[1]))
	return err
}
