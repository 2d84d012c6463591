package agentruntime

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"time"
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
			row := r.row(item, []string{"name", "class_name"}, []string{"script_name"}, map[string]string{
				"environment": "Name the other agent as the Caddyfile does, in script_name.",
			})
			r.bind(row["name"], item)
			if class := row["class_name"]; class != "" && !bindingName.MatchString(class) {
				r.fail(item, fmt.Sprintf("%s.class_name %q is no name of a class", item.path, class), "Give the name under which the module exports the class.")
			}
			r.out.Durable = append(r.out.Durable, WranglerDurable{Name: row["name"], Class: row["class_name"], Agent: row["script_name"]})
		})
	}})
}

func (r *wranglerReader) workflows(s *setting) {
	r.list(s, func(item *setting) {
		row := r.row(item, []string{"binding", "name", "class_name"}, []string{"script_name"}, map[string]string{
			"limits": "A workflow has at most 1024 steps.",
			"remote": "Run the other agent on this server, and name it in script_name.",
		})
		r.bind(row["binding"], item)
		if class := row["class_name"]; class != "" && !bindingName.MatchString(class) {
			r.fail(item, fmt.Sprintf("%s.class_name %q is no name of a class", item.path, class), "Give the name under which the module exports the class.")
		}
		if name := row["name"]; name != "" && !workflowName.MatchString(name) {
			r.fail(item, fmt.Sprintf("%s.name %q is no name of a workflow", item.path, name), "Give 1 to 64 letters, digits, _ and -.")
		}
		r.out.Workflows = append(r.out.Workflows, WranglerWorkflow{Binding: row["binding"], Name: row["name"], Class: row["class_name"], Agent: row["script_name"]})
	})
}

var workflowName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

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

func (r *wranglerReader) stored(s *setting) {
	r.list(s, func(item *setting) {
		row := r.row(item, []string{"binding", "secret_name"}, []string{"store_id"}, nil)
		r.bind(row["binding"], item)
		r.out.Stored = append(r.out.Stored, WranglerStored{Binding: row["binding"], Secret: row["secret_name"]})
	})
}

func (r *wranglerReader) services(s *setting) {
	r.list(s, func(item *setting) {
		var b WranglerService
		fields := r.table(item, r.refusing(map[string]string{
			"environment": "Name the other agent as the Caddyfile does, in service.",
			"remote":      "Run the other agent on this server, or reach it with fetch.",
		}), map[string]func(*setting){
			"binding":    func(f *setting) { b.Binding = r.text(f) },
			"service":    func(f *setting) { b.Agent = r.text(f) },
			"entrypoint": func(f *setting) { b.Entrypoint = r.text(f) },
			"props": func(f *setting) {
				if _, ok := f.value.(map[string]*setting); !ok {
					r.wrongKind(f, "a table")
					return
				}
				b.Props, _ = f.plain().(map[string]any)
			},
		})
		r.needs(item, fields, "binding", "service")
		r.bind(b.Binding, item)
		r.out.Services = append(r.out.Services, b)
	})
}

func (r *wranglerReader) rateLimits(s *setting) {
	r.list(s, func(item *setting) {
		var b WranglerRateLimit
		fields := r.table(item, nil, map[string]func(*setting){
			"name":         func(f *setting) { b.Name = r.text(f) },
			"namespace_id": func(f *setting) { b.Namespace = r.text(f) },
			"simple": func(simple *setting) {
				fields := r.table(simple, nil, map[string]func(*setting){
					"limit":  func(f *setting) { b.Limit = r.number(f) },
					"period": func(f *setting) { b.Period = time.Duration(r.number(f)) * time.Second },
				})
				r.needs(simple, fields, "limit", "period")
			},
		})
		r.needs(item, fields, "name", "namespace_id", "simple")
		r.bind(b.Name, item)
		r.out.RateLimits = append(r.out.RateLimits, b)
	})
}

func (r *wranglerReader) assets(s *setting) {
	a := &WranglerAssets{}
	fields := r.table(s, nil, map[string]func(*setting){
		"directory": func(f *setting) {
			if dir := r.text(f); dir != "" {
				a.Directory = filepath.Join(filepath.Dir(r.out.Path), filepath.FromSlash(dir))
			}
		},
		"binding": func(f *setting) {
			a.Binding = r.text(f)
			r.bind(a.Binding, f)
		},
		"html_handling":      func(f *setting) { a.HTML = r.text(f) },
		"not_found_handling": func(f *setting) { a.NotFound = r.text(f) },
		"run_worker_first": func(f *setting) {
			switch first := f.value.(type) {
			case bool:
				if first {
					a.RunWorkerFirst = []string{"/*"}
				}
			case []*setting:
				for _, item := range first {
					a.RunWorkerFirst = append(a.RunWorkerFirst, r.text(item))
				}
			default:
				r.wrongKind(f, "a boolean or a list")
			}
		},
	})
	r.needs(s, fields, "directory")
	r.out.Assets = a
}

func (r *wranglerReader) tail(s *setting) {
	r.list(s, func(item *setting) {
		row := r.row(item, []string{"service"}, nil, map[string]string{"environment": "Name the other agent as the Caddyfile does, in service."})
		r.out.Tail = append(r.out.Tail, row["service"])
	})
}

func (r *wranglerReader) limits(s *setting) {
	r.table(s, nil, map[string]func(*setting){
		"cpu_ms":      func(f *setting) { r.out.CPU = time.Duration(r.number(f)) * time.Millisecond },
		"subrequests": func(f *setting) { r.out.Subrequests = r.number(f) },
	})
}

// refusing refuses the keys given, each with its way out.
func (r *wranglerReader) refusing(keys map[string]string) func(string, *setting) bool {
	return func(key string, field *setting) bool {
		help, ok := keys[key]
		if ok {
			r.fail(field, field.path+" is not built yet", help)
		}
		return ok
	}
}

// needs refuses a table that lacks one of the keys.
func (r *wranglerReader) needs(s *setting, fields map[string]*setting, keys ...string) {
	for _, key := range keys {
		if fields != nil && fields[key] == nil {
			r.fail(s, fmt.Sprintf("%s has no %s", s.path, key), "")
		}
	}
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
		if bound.Class != "" && bound.Agent == "" && !classes.there[bound.Class] {
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
