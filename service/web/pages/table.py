"""The pages that there are: one router a group."""

from service.web.pages import (
    account,
    asking,
    base_routes,
    card_routes,
    conversations,
    model_routes,
    people,
    recipe_routes,
    reference,
    review,
    round_routes,
    routes,
    schedule_routes,
    settings,
    settings_keys,
    settings_users,
)

ROUTERS = (
    routes.router,
    account.router,
    model_routes.router,
    conversations.router,
    review.router,
    asking.router,
    card_routes.router,
    round_routes.router,
    recipe_routes.router,
    base_routes.router,
    schedule_routes.router,
    settings.router,
    settings_keys.router,
    settings_users.router,
    people.router,
    reference.router,
)
