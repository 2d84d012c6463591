package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gatehouse",
		Short: "Develops agents, and watches and manages a Gatehouse server",
		Long:  "Develops agents, and watches and manages a Gatehouse server: its records, its secrets and its agents' data.",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Example = `  caddy gatehouse tail
  caddy gatehouse secret put openai < key.txt
  caddy gatehouse sql coordinator "SELECT count(*) FROM tool_calls"
  caddy gatehouse dev ./agent.ts
  caddy gatehouse types coordinator > env.d.ts
  caddy gatehouse backup /backup/store.backup
  caddy gatehouse audit verify`
			cmd.AddCommand(tailCommand(), secretCommand(), sqlCommand(), devCommand(), typesCommand(),
				actorsCommand(), backupCommand(), restoreCommand(), fsckCommand(), storeKeyCommand(), serviceTokenCommand(), proxyCACommand(), approvalsCommand(), kvCommand(), auditCommand())
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return fmt.Errorf("there is no command %q; see: caddy gatehouse --help", args[0])
				}
				return cmd.Help()
			}
		},
	})
}

// adminFlag adds the flag that names the server.
func adminFlag(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "The server's admin endpoint (default "+caddy.DefaultAdminListen+")")
}

// adminRequest sends a request to the admin endpoint. The caller closes the body. An answer that is not 2xx is an error
// with the server's message.
func adminRequest(cmd *cobra.Command, method, uri string, body any) (*http.Response, error) {
	address, err := cmd.Flags().GetString("address")
	if err != nil {
		return nil, err
	}
	if address == "" {
		address = caddy.DefaultAdminListen
	}
	addr, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return nil, fmt.Errorf("--address %s: %w", address, err)
	}
	if addr.PortRangeSize() > 1 {
		return nil, fmt.Errorf("--address %s: one port, not a range", address)
	}
	base := addr.JoinHostPort(0)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if addr.IsUnixNetwork() {
		base = "localhost"
		transport.DialContext = (&unixDialer{addr.Host, net.Dialer{}}).DialContext
	}
	var content strings.Builder
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(cmd.Context(), method, "http://"+base+uri, strings.NewReader(content.String()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Origin", "http://"+base)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("no answer from the admin endpoint %s (%w); is the server running? name another with --address", address, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var msg struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&msg); err != nil || msg.Error == "" {
		return nil, fmt.Errorf("the server answered %s; does it have Gatehouse in it?", resp.Status)
	}
	return nil, errors.New(msg.Error)
}

// stdoutIsTerminal says whether a person reads the output.
func stdoutIsTerminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
