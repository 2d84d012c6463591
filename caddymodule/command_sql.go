package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/record/analytics"
)

func sqlCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sql AGENT QUERY",
		Short: "Asks SQL of the data points that an agent has written",
		Long: "Asks SQL of the data points that an agent has written with writeDataPoint. Each dataset is a table with the columns\n" +
			"timestamp, index1, blob1 to blob20 and double1 to double20. The query can only read.",
		Example: `  caddy gatehouse sql coordinator "SELECT blob1, count(*), avg(double1) FROM tool_calls GROUP BY blob1"
  caddy gatehouse sql coordinator "SELECT * FROM tool_calls ORDER BY timestamp DESC LIMIT 10" --json
  caddy gatehouse sql coordinator "SELECT * FROM tool_calls" --csv > tool_calls.csv`,
		Args:         cobra.ExactArgs(2),
		SilenceUsage: true,
		RunE:         runSQL,
	}
	adminFlag(cmd)
	cmd.Flags().Bool("json", false, "Print the answer as JSON")
	cmd.Flags().Bool("jsonl", false, "Export all rows, each as a JSON object on a line of its own")
	cmd.Flags().Bool("csv", false, "Export all rows as CSV (RFC 4180), with the columns' names in the first line")
	cmd.Flags().Int("limit", 1000, "How many rows at most; an export has all unless it is given")
	cmd.MarkFlagsMutuallyExclusive("json", "jsonl", "csv")
	return cmd
}

func runSQL(cmd *cobra.Command, args []string) error {
	limit, err := cmd.Flags().GetInt("limit")
	if err != nil {
		return err
	}
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return err
	}
	format := ""
	for _, f := range []string{"jsonl", "csv"} {
		if asked, _ := cmd.Flags().GetBool(f); asked {
			format = f
		}
	}
	if format != "" && !cmd.Flags().Changed("limit") {
		limit = 0
	}
	resp, err := adminRequest(cmd, "POST", "/gatehouse/sql", sqlRequest{Agent: args[0], Query: args[1], Limit: limit, Format: format})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if format != "" {
		if _, err := io.Copy(cmd.OutOrStdout(), resp.Body); err != nil {
			return fmt.Errorf("the export broke off, and what was printed is not all: %w", err)
		}
		return nil
	}
	var t analytics.Table
	dec := json.NewDecoder(resp.Body)
	dec.UseNumber()
	if err := dec.Decode(&t); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(t)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for i, c := range t.Columns {
		fmt.Fprint(w, tab(i), c)
	}
	fmt.Fprintln(w)
	for _, row := range t.Rows {
		for i, v := range row {
			if v == nil {
				v = "NULL"
			}
			fmt.Fprint(w, tab(i), v)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if t.Truncated {
		fmt.Fprintf(os.Stderr, "There are more rows; ask for them with --limit, above %d.\n", limit)
	}
	return nil
}

func tab(i int) string {
	if i == 0 {
		return ""
	}
	return "\t"
}
