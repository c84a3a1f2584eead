"""`site-configs/<name>.yaml` to `model.site.SiteSpec`: reading, inheritance, variants, identity."""
