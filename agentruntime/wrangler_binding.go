package agentruntime

import (
	"encoding/json"
	"fmt"
	"slices"
)

func (r *wranglerReader) vars(s *setting) {
	fields, ok := s.value.(map[string]*setting)
	if !ok {
		r.wrongKind(s, "a table")
		return
	}
	r.out.Vars = make(map[string]json.RawMessage, len(fields))
	for _, name := range s.keys() {
		r.bind(name, fields[name])
		value, err := json.Marshal(fields[name].plain())
		if err != nil {
			r.fail(fields[name], fields[name].path+" cannot be written as JSON", "Write it as a string.")
			continue
		}
		r.out.Vars[name] = value
	}
}

func (r *wranglerReader) durable(s *setting) {
	r.table(s, nil, map[string]func(*setting){"bindings": func(list *setting) {
		r.list(list, func(item *setting) {
			row := r.row(item, []string{"name", "class_name"}, nil, map[string]string{
				"script_name": "Bind a class of this agent, and reach the other agent with fetch.",
				"environment": "Use a file of its own for each environment.",
			})
			r.bind(row["name"], item)
			if class := row["class_name"]; class != "" && !bindingName.MatchString(class) {
				r.fail(item, fmt.Sprintf("%s.class_name %q is no name of a class", item.path, class), "Give the name under which the module exports the class.")
			}
			r.out.Durable = append(r.out.Durable, WranglerDurable{Name: row["name"], Class: row["class_name"]})
		})
	}})
}

func (r *wranglerReader) kv(s *setting) {
	r.list(s, func(item *setting) {
		row := r.row(item, []string{"binding", "id"}, []string{"preview_id"}, nil)
		r.bind(row["binding"], item)
		r.out.KV = append(r.out.KV, WranglerKV{Binding: row["binding"], ID: row["id"]})
	})
}

func (r *wranglerReader) analytics(s *setting) {
	r.list(s, func(item *setting) {
		row := r.row(item, []string{"binding"}, []string{"dataset"}, nil)
		r.bind(row["binding"], item)
		if row["dataset"] == "" {
			row["dataset"] = row["binding"]
		}
		r.out.Analytics = append(r.out.Analytics, WranglerAnalytics{Binding: row["binding"], Dataset: row["dataset"]})
	})
}

func (r *wranglerReader) triggers(s *setting) {
	r.table(s, nil, map[string]func(*setting){"crons": func(list *setting) {
		r.list(list, func(item *setting) {
			cron := r.text(item)
			if cron == "" {
				return
			}
			if _, err := CronSchedule(cron); err != nil {
				r.fail(item, err.Error(), "Write minute, hour, day, month and weekday, as in: */5 * * * *")
				return
			}
			r.out.Crons = append(r.out.Crons, cron)
		})
	}})
}

// migrations follows the life of the classes of durable actors and checks that each step can be taken, and that the
// bindings name classes that are there at the end.
func (r *wranglerReader) migrations(s, durable *setting) {
	classes := &classLife{r: r, there: map[string]bool{}}
	r.list(s, func(step *setting) { r.migration(step, classes) })
	for i, bound := range r.out.Durable {
		if bound.Class != "" && !classes.there[bound.Class] {
			r.fail(durable, fmt.Sprintf("durable_objects.bindings[%d] binds the class %s, which no migration makes", i, bound.Class), "Add it to new_sqlite_classes of a migration.")
		}
	}
}

func (r *wranglerReader) migration(step *setting, classes *classLife) {
	var m WranglerMigration
	made := func(list *setting) {
		r.list(list, func(item *setting) {
			class := r.text(item)
			classes.make(item, class)
			m.New = append(m.New, class)
		})
	}
	fields := r.table(step, func(key string, field *setting) bool {
		if key == "transferred_classes" {
			r.fail(field, field.path+" is not built yet", "Move the data with requests from one agent to the other.")
		}
		return key == "transferred_classes"
	}, map[string]func(*setting){
		"tag": func(field *setting) {
			m.Tag = r.text(field)
			if slices.ContainsFunc(r.out.Migrations, func(o WranglerMigration) bool { return o.Tag == m.Tag }) {
				r.fail(field, fmt.Sprintf("the tag %q is given to two migrations", m.Tag), "")
			}
		},
		"new_classes":        made,
		"new_sqlite_classes": made,
		"renamed_classes": func(list *setting) {
			r.list(list, func(item *setting) {
				row := r.row(item, []string{"from", "to"}, nil, nil)
				classes.end(item, row["from"])
				classes.make(item, row["to"])
				m.Renamed = append(m.Renamed, [2]string{row["from"], row["to"]})
			})
		},
		"deleted_classes": func(list *setting) {
			r.list(list, func(item *setting) {
				class := r.text(item)
				classes.end(item, class)
				m.Deleted = append(m.Deleted, class)
			})
		},
	})
	if fields != nil && fields["tag"] == nil {
		r.fail(step, step.path+" has no tag", "Give each migration a tag of its own, as in: v1")
	}
	r.out.Migrations = append(r.out.Migrations, m)
}

// classLife knows which classes are there after the migrations read so far.
type classLife struct {
	r     *wranglerReader
	there map[string]bool
}

func (c *classLife) make(at *setting, class string) {
	if c.there[class] {
		c.r.fail(at, fmt.Sprintf("%s makes the class %s, which is already there", at.path, class), "")
	}
	if class != "" {
		c.there[class] = true
	}
}

func (c *classLife) end(at *setting, class string) {
	if class != "" && !c.there[class] {
		c.r.fail(at, fmt.Sprintf("%s names the class %s, which no migration before it makes", at.path, class), "")
	}
	delete(c.there, class)
}
