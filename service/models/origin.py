"""The untouched base as the first champion, so that a fresh home answers before its first round."""


from pipelines.context import base_folder
from pipelines.recipe import Recipe
from pipelines.stages.baseline import prepare_origin
from service.models.promotion import promote
from service.settings import Settings
from service.store import models
from service.store.session import Store


def install_origin(settings: Settings, store: Store, recipe: Recipe, by: str) -> str:
    """Export the recipe's base to the form in which it is served, record it, and promote it if there is no champion.

    Returns:
        The origin's model id.

    Raises:
        ModelError, GGUFError: the base cannot be exported.
    """
    origin = prepare_origin(base_folder(recipe, settings.project), recipe.export.quantize, settings.models)
    with store.begin() as session:
        models.add_model(session, settings.home, origin.id, origin.form, kind="origin", recipe_name=recipe.name)
        first = models.champion_id(session) is None
    if first:
        promote(store, settings, origin.id, by)
    return origin.id


