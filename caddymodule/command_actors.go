package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/archive"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

func actorsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "actors",
		Short: "Lists, shows, exports and imports durable actors",
		Long: "Lists, shows, exports and imports durable actors. A namespace is AGENT/CLASS; gatehouse/kv has the KV namespaces and\n" +
			"gatehouse/throttle the strict zones. Reading asks the server that holds the store, or reads the files of a stopped one; no actor is disturbed.",
		Example: `  caddy gatehouse actors list
  caddy gatehouse actors list coordinator
  caddy gatehouse actors show coordinator/AgentCoordinator alice
  caddy gatehouse actors export > actors.jsonl`,
	}
	list := &cobra.Command{
		Use:   "list [AGENT|NAMESPACE]",
		Short: "Lists namespaces, or a namespace's actors, with counts and sizes",
		Example: `  caddy gatehouse actors list
  caddy gatehouse actors list coordinator/AgentCoordinator --limit 20
  caddy gatehouse actors list coordinator --json`,
		Args: cobra.MaximumNArgs(1), SilenceUsage: true, RunE: runActorsList,
	}
	list.Flags().Int("limit", 100, "How many actors at most")
	list.Flags().String("after", "", "The id after which to go on")
	show := &cobra.Command{
		Use:   "show NAMESPACE ID|NAME",
		Short: "Shows what one actor stores, readable",
		Example: `  caddy gatehouse actors show coordinator/AgentCoordinator alice
  caddy gatehouse actors show coordinator/AgentCoordinator alice --key profile`,
		Args: cobra.ExactArgs(2), SilenceUsage: true, RunE: runActorsShow,
	}
	show.Flags().Int("limit", 100, "How many entries at most")
	show.Flags().String("key", "", "Only keys that begin with this")
	export := &cobra.Command{
		Use:   "export [NAMESPACE [ID|NAME]]",
		Short: "Writes actors as JSON lines",
		Long: "Writes all actors, those of a namespace, or one, as JSON lines: the stored bytes of each value in base64, and beside it what it\n" +
			"shows. The last line says how much there was, so a file without it is cut short. The lines are one moment of the store.",
		Example: `  caddy gatehouse actors export > all.jsonl
  caddy gatehouse actors export coordinator/AgentCoordinator alice > alice.jsonl
  caddy gatehouse actors export --skip-damaged > whole.jsonl`,
		Args: cobra.MaximumNArgs(2), SilenceUsage: true, RunE: runActorsExport,
	}
	export.Flags().Bool("skip-damaged", false, "Go on after what cannot be read, with a line that says so")
	imported := &cobra.Command{
		Use:   "import FILE",
		Short: "Brings exported actors into a stopped store",
		Long: "Brings exported actors into a stopped store, which is made if it is not there. The whole file is checked first. An actor that is\n" +
			"there already is refused before anything is written, unless --replace says that it is to be replaced.",
		Example: `  caddy gatehouse actors import alice.jsonl --replace
  caddy gatehouse actors import all.jsonl --config /etc/caddy/Caddyfile`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, RunE: runActorsImport,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	imported.Flags().Bool("replace", false, "Replace actors that are there")
	for _, c := range []*cobra.Command{list, show, export} {
		storeFlags(c)
	}
	configFlags(imported)
	imported.Flags().Bool("json", false, "Print the result as JSON")
	cmd.AddCommand(list, show, export, imported)
	return cmd
}

// askActors answers a query about actors: by the server that holds the store, or from the files. The caller closes it.
func askActors(cmd *cobra.Command, q url.Values) (io.ReadCloser, error) {
	s, err := storeFor(cmd)
	if err != nil {
		return nil, err
	}
	live, err := s.held()
	if err != nil {
		return nil, err
	}
	if live {
		q.Set("store", s.dir)
		return s.ask(cmd, "/gatehouse/actors", q)
	}
	r, w := io.Pipe()
	read := &offline{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(read.done)
		w.CloseWithError(s.withSnapshot(func(v durable.Snapshot) error { return readActors(storeContext(cmd), w, v, q) }))
	}()
	return read, nil
}

// offline is an answer that comes from the files. Close returns when they are let go.
type offline struct {
	*io.PipeReader
	done chan struct{}
}

func (o *offline) Close() error {
	err := o.PipeReader.Close()
	<-o.done
	return err
}

func runActorsList(cmd *cobra.Command, args []string) error {
	namespace := ""
	if len(args) > 0 {
		namespace = args[0]
	}
	if namespace == "" || !strings.Contains(namespace, "/") {
		infos, err := namespacesOf(cmd, namespace)
		if err != nil {
			return err
		}
		if len(infos) != 1 || namespace == "" {
			return printNamespaces(cmd, infos, namespace)
		}
		namespace = infos[0].Namespace
	}
	limit, _ := cmd.Flags().GetInt("limit")
	after, _ := cmd.Flags().GetString("after")
	in, err := askActors(cmd, url.Values{"namespace": {namespace}, "limit": {strconv.Itoa(limit)}, "after": {after}})
	if err != nil {
		return err
	}
	defer in.Close()
	var page actorsPage
	if err := json.NewDecoder(in).Decode(&page); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd, page)
	}
	if len(page.Actors) == 0 && after == "" {
		fmt.Fprintf(cmd.OutOrStdout(), "%s has no actors that store something. See all namespaces with: caddy gatehouse actors list\n", page.Namespace)
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tENTRIES\tSIZE\tALARM")
	for _, a := range page.Actors {
		alarm := "-"
		if a.Alarm != nil {
			alarm = a.Alarm.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", a.ID, plain(a.Name), a.Entries, humanize.IBytes(uint64(a.Bytes)), alarm)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "There are more; go on with: caddy gatehouse actors list %s --after %s\n", page.Namespace, page.Next)
	}
	return nil
}

// namespacesOf are the namespaces of an agent, or all of them.
func namespacesOf(cmd *cobra.Command, agent string) ([]namespaceInfo, error) {
	in, err := askActors(cmd, url.Values{})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var all []namespaceInfo
	if err := json.NewDecoder(in).Decode(&all); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	infos := []namespaceInfo{}
	for _, i := range all {
		if agent == "" || strings.HasPrefix(i.Namespace, agent+"/") {
			infos = append(infos, i)
		}
	}
	return infos, nil
}

func printNamespaces(cmd *cobra.Command, infos []namespaceInfo, agent string) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd, infos)
	}
	if len(infos) == 0 {
		if agent != "" {
			return fmt.Errorf("agent %s has no actors that store something; see all namespaces with: caddy gatehouse actors list", agent)
		}
		fmt.Fprintln(cmd.OutOrStdout(), "The store holds nothing yet.")
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tACTORS\tENTRIES\tSIZE\tALARMS")
	for _, i := range infos {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\n", i.Namespace, i.Actors, i.Entries, humanize.IBytes(uint64(i.Bytes)), i.Alarms)
	}
	return w.Flush()
}

// actorArg reads an actor that is named by its id or its name.
func actorArg(namespace, text string) string {
	if _, err := parseID(text); err == nil {
		return text
	}
	return durable.NewNamespace(namespace).IDFromName(text).String()
}

// shownEntry is what show prints of an entry for programs.
type shownEntry struct {
	Key   string `json:"key"`
	Bytes int    `json:"bytes"`
	Shows string `json:"shows"`
}

// shownActor is what show prints for programs. SQL is the size of the actor's SQL database, in bytes.
type shownActor struct {
	*archive.LineActor
	SQL     int64        `json:"sql"`
	Entries []shownEntry `json:"entries"`
	More    bool         `json:"more"`
}

func runActorsShow(cmd *cobra.Command, args []string) error {
	limit, _ := cmd.Flags().GetInt("limit")
	prefix, _ := cmd.Flags().GetString("key")
	in, err := askActors(cmd, url.Values{"export": {"1"}, "namespace": {args[0]}, "id": {actorArg(args[0], args[1])}, "skip_damaged": {"1"}})
	if err != nil {
		return err
	}
	defer in.Close()
	lines, err := archive.NewLines(in)
	if err != nil {
		return err
	}
	shown := shownActor{Entries: []shownEntry{}}
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if line.Actor != nil {
			shown.LineActor = line.Actor
			continue
		}
		if line.Damaged != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "damaged: %s\n", indent(line.Damaged))
			continue
		}
		e, _, err := line.Entry()
		if err != nil {
			return err
		}
		switch {
		case durable.IsReserved(e.Key):
			shown.SQL += int64(len(e.Value))
		case !strings.HasPrefix(e.Key, prefix):
		case len(shown.Entries) == limit:
			shown.More = true
		default:
			shown.Entries = append(shown.Entries, shownEntry{Key: e.Key, Bytes: len(e.Value), Shows: showValue(e.Value)})
		}
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd, shown)
	}
	printActor(cmd, &shown)
	return nil
}

func printActor(cmd *cobra.Command, a *shownActor) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s %s", a.Namespace, a.ID)
	if a.Name != "" {
		fmt.Fprintf(out, " (%s)", plain(a.Name))
	}
	fmt.Fprintf(out, ": %d entries, %s\n", a.Keys, humanize.IBytes(uint64(a.Bytes)))
	if s, err := a.Stored(); err == nil && !s.State.Alarm.IsZero() {
		fmt.Fprintf(out, "  alarm at %s, %d retries\n", s.State.Alarm.At.Local().Format(time.DateTime), s.State.Alarm.Retries)
	}
	if a.SQL > 0 {
		fmt.Fprintf(out, "  SQL database of %s\n", humanize.IBytes(uint64(a.SQL)))
	}
	for _, e := range a.Entries {
		fmt.Fprintf(out, "  %s = %s\n", plain(e.Key), strings.ReplaceAll(indent(e.Shows), "\n", "\n    "))
	}
	if a.More {
		fmt.Fprintln(cmd.ErrOrStderr(), "There are more entries; ask for them with --limit, or for some of them with --key.")
	}
}

// showValue renders a stored value: as the code would print it, or as text, or as the beginning of its bytes.
func showValue(value []byte) string {
	const most = 4096
	text, err := agentruntime.ShowClone(value)
	switch {
	case err == nil:
	case utf8.Valid(value) && !strings.ContainsFunc(string(value), func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		text = strconv.Quote(string(value))
	default:
		text = fmt.Sprintf("%d bytes: %x", len(value), value[:min(len(value), 32)])
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + fmt.Sprintf("... (%d more)", len(text)-most)
	}
	return text
}

// plain is a name on one line, without what a terminal would obey.
func plain(s string) string {
	if s == "" {
		return "-"
	}
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

func runActorsExport(cmd *cobra.Command, args []string) error {
	q := url.Values{"export": {"1"}}
	if skip, _ := cmd.Flags().GetBool("skip-damaged"); skip {
		q.Set("skip_damaged", "1")
	}
	if len(args) > 0 {
		q.Set("namespace", args[0])
	}
	if len(args) > 1 {
		q.Set("id", actorArg(args[0], args[1]))
	}
	in, err := askActors(cmd, q)
	if err != nil {
		return err
	}
	defer in.Close()
	lines, err := archive.NewLines(in)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetEscapeHTML(false)
	if err := enc.Encode(lines.Head()); err != nil {
		return err
	}
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if line.Damaged != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "damaged: %s\n", indent(line.Damaged))
		}
		if e, is, err := line.Entry(); err == nil && is && !durable.IsReserved(e.Key) {
			line.Shows = showValue(e.Value)
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	end := lines.End()
	if err := enc.Encode(archive.Line{End: &end}); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d actors with %d entries, %d damaged. To bring them into a stopped store: caddy gatehouse actors import FILE\n", end.Actors, end.Entries, end.Damaged)
	if end.Damaged > 0 {
		return fmt.Errorf("export: %d damages were left out", end.Damaged)
	}
	return nil
}

func runActorsImport(cmd *cobra.Command, args []string) error {
	s, err := storeFor(cmd)
	if err != nil {
		return err
	}
	if live, err := s.held(); err != nil || live {
		return errors.Join(err, fmt.Errorf("import: a server holds %s; stop it first", s.path()))
	}
	replace, _ := cmd.Flags().GetBool("replace")
	read := func(to archive.Store) (archive.LineEnd, error) {
		f, err := os.Open(args[0])
		if err != nil {
			return archive.LineEnd{}, err
		}
		defer f.Close()
		lines, err := archive.NewLines(f)
		if err != nil {
			return archive.LineEnd{}, err
		}
		return archive.Import(storeContext(cmd), to, lines, replace)
	}
	if _, err := read(nil); err != nil { // all of it is right, before anything is written
		return fmt.Errorf("import %s: %w", args[0], err)
	}
	end, err := s.importInto(read, func(v durable.Snapshot) error {
		if replace {
			return nil
		}
		return refuseExisting(cmd, args[0], v)
	})
	if err != nil {
		return fmt.Errorf("import %s: %w", args[0], err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd, end)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d actors with %d entries are in %s.\nNext: start the server.\n", end.Actors, end.Entries, s.path())
	return nil
}

// importInto writes into the store that is there, once check has found no reason against it, or into a new one.
func (s storage) importInto(read func(archive.Store) (archive.LineEnd, error), check func(durable.Snapshot) error) (end archive.LineEnd, err error) {
	_, exists, err := badgerstore.Encrypted(s.path())
	if err != nil {
		return end, err
	}
	if !exists {
		_, err = s.fill(func(to *badgerstore.Store) (archive.Summary, error) {
			var err error
			end, err = read(to)
			return archive.Summary{}, err
		})
		return end, err
	}
	to, err := s.open()
	if err != nil {
		return end, err
	}
	v, err := to.Snapshot()
	if err == nil {
		err = check(v)
		v.Close()
	}
	if err == nil {
		end, err = read(to)
	}
	return end, errors.Join(err, to.Close())
}

// refuseExisting returns an error if an actor of the file is in the store.
func refuseExisting(cmd *cobra.Command, path string, v durable.Snapshot) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, err := archive.NewLines(f)
	for err == nil {
		var line archive.Line
		if line, err = lines.Next(); err != nil || line.Actor == nil {
			continue
		}
		var a durable.Stored
		if a, err = line.Actor.Stored(); err != nil {
			return err
		}
		_, there, err := v.Actor(storeContext(cmd), a.Key)
		if err != nil {
			return err
		}
		if there {
			return fmt.Errorf("%s is in the store already; nothing was written. Replace what is there with --replace", a.Key)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
