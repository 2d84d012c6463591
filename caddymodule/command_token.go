package caddymodule

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/access"
)

func serviceTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service-token NAME",
		Short: "Makes a service token: a secret for a program, and the line that lets it pass",
		Long: "Makes a service token: a secret for a program, and the line of the directive identity that knows it. The secret is printed once and kept\n" +
			"nowhere; the line holds its digest only.",
		Example: `  caddy gatehouse service-token ci
  caddy gatehouse service-token ci --json`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, RunE: runServiceToken,
	}
	cmd.Flags().Bool("json", false, "Print the token as JSON")
	return cmd
}

func runServiceToken(cmd *cobra.Command, args []string) error {
	name := args[0]
	secret, digest := access.NewServiceToken()
	var check access.ServiceTokens
	if err := check.Add(name, digest); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return json.NewEncoder(out).Encode(map[string]string{"name": name, "secret": secret, "digest": digest})
	}
	_, err := fmt.Fprintf(out, `For the program, which sends both with each request:

  %s: %s
  %s: %s

For a site, in its Caddyfile:

  identity {
  	service_token %s %s
  }
  access {
  	allow service_token %s
  }

Or for a client of a forward proxy, which has HTTPS_PROXY=http://%s:%s@HOST:PORT:

  egress_proxy POLICY {
  	client %s %s
  }

The secret is kept nowhere: hand it over now.
`, headerTokenID, name, headerTokenSecret, secret, name, digest, name, name, secret, name, digest)
	return err
}
