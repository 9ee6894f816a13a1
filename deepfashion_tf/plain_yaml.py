"""YAML without aliases: nine lines of them can stand for a billion words."""

import yaml


class PlainLoader(yaml.SafeLoader):
    """Refuses ``*name``, which no schema and no recipe needs."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"*{event.anchor} stands for something else", event.start_mark
            )
        return super().compose_node(parent, index)
