package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func approvalsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "Lists, grants and denies hosts that agents want to call for the first time",
		Long: "Lists, grants and denies hosts that agents want to call for the first time, where their egress policy holds such calls (hold). A denied host\n" +
			"is refused whether the policy holds calls or not. AGENT is the name of an agent, or \"client NAME\" for a client of egress_proxy.",
		Example: `  caddy gatehouse approvals list
  caddy gatehouse approvals grant researcher api.example.com
  caddy gatehouse approvals deny researcher evil.example`,
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "Lists the hosts that wait for a decision",
		Example: `  caddy gatehouse approvals list
  caddy gatehouse approvals list --all --json`,
		Args: cobra.NoArgs, SilenceUsage: true, RunE: runApprovalsList,
	}
	list.Flags().Bool("all", false, "List every host that has been called or decided about")
	decide := func(verb, short string) *cobra.Command {
		return &cobra.Command{
			Use: verb + " AGENT HOST", Short: short, Example: "  caddy gatehouse approvals " + verb + " researcher api.example.com",
			Args: cobra.ExactArgs(2), SilenceUsage: true,
			RunE: func(cmd *cobra.Command, args []string) error { return runApprovalsDecide(cmd, verb, args[0], args[1]) },
		}
	}
	grant, deny := decide("grant", "Lets an agent call a host"), decide("deny", "Keeps an agent from calling a host")
	for _, c := range []*cobra.Command{list, grant, deny} {
		adminFlag(c)
		c.Flags().Bool("json", false, "Print the result as JSON")
	}
	cmd.AddCommand(list, grant, deny)
	return cmd
}

func runApprovalsList(cmd *cobra.Command, _ []string) error {
	uri := "/gatehouse/approvals"
	all, _ := cmd.Flags().GetBool("all")
	if all {
		uri += "?all"
	}
	resp, err := adminRequest(cmd, http.MethodGet, uri, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var found []approval
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd, found)
	}
	if len(found) == 0 {
		if all {
			fmt.Fprintln(cmd.OutOrStdout(), "No agent has called a host yet.")
		} else {
			fmt.Fprintln(cmd.OutOrStdout(), "Nothing waits for a decision. See what was called before with: caddy gatehouse approvals list --all")
		}
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AGENT\tHOST\tSTATE\tSINCE")
	for _, a := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", plain(a.Agent), plain(a.Host), a.State, a.Since.Local().Format(time.DateTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !all {
		fmt.Fprintln(cmd.ErrOrStderr(), "Decide with: caddy gatehouse approvals grant|deny AGENT HOST")
	}
	return nil
}

func runApprovalsDecide(cmd *cobra.Command, verb, agent, host string) error {
	resp, err := adminRequest(cmd, http.MethodPost, "/gatehouse/approvals", approvalRequest{agent, host, verb})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var done approvalRequest
	if err := json.NewDecoder(resp.Body).Decode(&done); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd, done)
	}
	if verb == "grant" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s may call %s from now on.\n", plain(agent), plain(host))
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is kept from calling %s from now on; undo it with: caddy gatehouse approvals grant %q %s\n", plain(agent), plain(host), agent, host)
	}
	return err
}
